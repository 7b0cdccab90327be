"""A number that is not finite is said, never chosen and never averaged.

In whatever order strengths are given.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import mechcla
from mechcla.errors import MechclaError
from mechcla.metrics import metrics
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.sweep.__main__ import main
from mechcla.sweep.cells import Method
from mechcla.sweep.config import make
from mechcla.sweep.dev_point import DevPoint, merge
from mechcla.sweep.on_test import report_test
from mechcla.sweep.rule import best, pareto_front, ranked
from mechcla.sweep.runner import open_sweep
from mechcla.sweep.tables import summarise
from tests.conftest import save_tiny

HUGE = 1e7  # times any vector it is beyond float16, whose largest number is 65,504
SETTINGS = {"layers": [1, 3], "restore": False, "try_positions": [], "loc_strengths": [2.0]}


def row(values, kind="cultural", id="a", prior=()):
    roles = ("local", "english", "other") if kind == "cultural" else ("correct", "wrong", "wrong")
    return ItemScore(
        id,
        "es",
        kind,
        "test",
        "",
        "ES",
        "implicit",
        ("x", "y", "z"),
        roles,
        ("ES", "US", None),
        tuple(values),
        (1, 1, 1),
        tuple(prior),
    )


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return mechcla.load_model(
        str(save_tiny("llama", tmp_path_factory.mktemp("half"))), device="cpu", dtype="float16"
    )


def broken(folder, name: str, place, dtype: str = "float32") -> mechcla.HookedModel:
    """A tiny model with one weight that is nan."""
    (path,) = save_tiny("llama", folder).glob("*.safetensors")
    tensors = load_file(path)
    tensors[name][place] = math.nan
    save_file(tensors, path, metadata={"format": "pt"})
    return mechcla.load_model(str(folder), device="cpu", dtype=dtype)


@pytest.mark.parametrize("measure", ["share", "accuracy"])
@pytest.mark.parametrize(
    "values",
    [(math.nan, -1.0, -2.0), (-1.0, math.inf, -2.0), (-1.0, -2.0, math.nan), (-math.inf,) * 3],
)
def test_no_metric_takes_a_value_that_is_not_finite(values, measure):
    scores = Scores((row((-1.0, -2.0, -3.0)), row(values, id="lost")))
    fine = Scores((row((-1.0, -2.0, -3.0)), row((-2.0, -1.0, -3.0), id="lost")))
    assert [r.id for r in scores.not_finite] == ["lost"]
    for take in (
        lambda: mechcla.localization(scores, measure),
        lambda: mechcla.difference(scores, fine, "localization", measure),
        lambda: mechcla.difference(fine, scores, "localization", measure),
        lambda: mechcla.permutation_test(scores, fine, "localization", measure),
        lambda: mechcla.recoverable_fraction(fine, scores, fine, measure),
    ):
        with pytest.raises(
            MechclaError, match=r"item 'lost' \(es, cultural, implicit\) is not finite"
        ):
            take()
    frame = scores.to_pandas()
    assert frame["choice"][0] == "x"
    assert frame[["choice", "choice_role"]].isna()[1:].all().all()
    assert np.isnan(frame["share"][1]).all()


def test_an_impossible_answer_is_a_number_of_share_0():
    scores = Scores((row((-math.inf, -1.0, -1.0)),))
    assert scores.not_finite == ()
    assert mechcla.localization(scores, "share")["es"].value == 0.0
    assert mechcla.english_bias(scores, "share")["es"].value == pytest.approx(0.5)
    assert mechcla.localization(scores)["es"].value == 0.0
    with pytest.raises(MechclaError, match="is not finite: its prior log-likelihoods are nan"):
        metrics.metric(
            Scores((row((-math.inf, -1.0, -1.0), prior=(-math.inf, -1.0, -1.0)),)),
            "localization",
            "share",
            "prior",
        )


def test_a_contrast_of_nan_is_refused():
    with pytest.raises(MechclaError, match=r"item 'a' .* has no finite contrast"):
        mechcla.contrast(Scores((row((math.nan, -1.0, -1.0)),)), Scores((row((-1.0, -1.0, -1.0)),)))


def test_the_rule_passes_over_points_that_are_not_finite():
    one, two = (Method(en_layer=1, en_strength=s) for s in (0.3, HUGE))
    lost = DevPoint(two, math.nan, math.nan, {"es": (math.nan, 0.5)}, (("es", "universal"),))
    good = DevPoint(one, 0.1, 0.0, {"es": (0.1, 0.0)})
    for points in ([lost, good], [good, lost]):
        assert best(points, "EN") == good
        assert ranked(points, "EN", 5) == ranked(points, "EN", 5, by="sum") == [good]
        assert pareto_front(points) == [good]
        assert [p.method for p in merge(points, 1)] == [one]
    assert best([lost], "EN").method == Method()
    assert lost.describe()["not_finite"] == (("es", "universal"),)


def test_ties_do_not_depend_on_the_order_in_which_methods_were_tried():
    tied = [
        DevPoint(Method(en_layer=layer, en_strength=s), 0.25, 0.0, {})
        for layer in (1, 2)
        for s in (0.3, -0.3)
    ]
    for points in (tied, tied[::-1], [tied[1], tied[3], tied[0], tied[2]]):
        assert best(points, "EN").method == Method(en_layer=1, en_strength=0.3)
        assert [p.method.en_strength for p in ranked(points, "EN", 2)] == [0.3, 0.3]


def test_the_choice_is_that_of_the_finite_strength_alone(half, small_items):
    alone = mechcla.configure(half, small_items, ["es"], en_strengths=[0.3], **SETTINGS)
    for strengths in ([HUGE, 0.3], [0.3, HUGE]):
        found = mechcla.configure(half, small_items, ["es"], en_strengths=strengths, **SETTINGS)
        assert found.choices.chosen() == alone.choices.chosen()
        lost = {c["name"] for c in found.choices.not_finite}
        assert lost == {"EN1x1e+07", "EN3x1e+07"}
        assert "dev EN1x1e+07: es universal, es cultural" in str(found)
    none = mechcla.configure(half, small_items, ["es"], en_strengths=[HUGE], **SETTINGS)
    assert none.method("EN", "es") == none.method("SUR", "es") == Method()


def test_a_sweep_says_which_cells_are_not_finite(tmp_path, small_items, capsys):
    small_items.to_jsonl(tmp_path / "items.jsonl")
    out = tmp_path / "run"
    asked = ["--model", str(save_tiny("llama", tmp_path / "m")), "--dtype", "float16"]
    asked += ["--items", str(tmp_path / "items.jsonl"), "--device", "cpu", "--layers", "1,3"]
    asked += ["--no-restore", "--no-controls", "--no-figures", "--resamples", "100"]
    asked += ["--out", str(out)]
    assert main([*asked, "--en-strengths", "1e7,0.3"]) == 0
    said = capsys.readouterr()
    assert "the cell dev es universal EN1x1e+07 is not finite: 3 of 3 items" in said.err
    assert "Not finite, so neither chosen nor averaged:\n  dev EN1x1e+07" in said.out
    assert (
        "Cultural erasure (localization falls; sign-flip test, p < 0.05 after Holm): nowhere"
        in said.out
    )
    assert " p=" in said.out.split("Changes against")[1]
    selection = json.loads((out / "selection.json").read_text())
    named = {(c["language"], c["kind"], c["name"]) for c in selection["not_finite"]}
    assert named == {
        ("es", kind, f"EN{layer}x1e+07") for kind in ("universal", "cultural") for layer in (1, 3)
    }
    assert main([*asked, "--en-strengths", "0.3,1e7"]) == 0  # another order is the same run
    again = json.loads((out / "selection.json").read_text())
    assert again["not_finite"] == selection["not_finite"]
    assert again["chosen"] == selection["chosen"]


def test_an_unsteered_pass_that_is_not_finite_stops_before_any_steered_cell(tmp_path, small_items):
    model = broken(tmp_path / "m", "lm_head.weight", (5, 0))
    out = tmp_path / "run"
    with pytest.raises(
        MechclaError, match="is not finite without steering: the cell dev es universal unsteered"
    ):
        mechcla.configure(model, small_items, ["es"], out=str(out))
    assert not list(out.rglob("*.parquet"))


def test_vectors_that_are_not_finite_stop_and_are_not_written(tmp_path, small_items):
    model = broken(tmp_path / "m", "model.layers.2.mlp.down_proj.weight", (3, 0))
    out = tmp_path / "run"
    with pytest.raises(
        MechclaError, match=r"the EN vector of 'es' is not finite at 2 of 4 layers \(2, 3\)"
    ):
        mechcla.configure(model, small_items, ["es"], out=str(out))
    assert not list(out.rglob("*.safetensors"))
    assert not list(out.rglob("*.parquet"))


def test_bfloat16_scores_of_nan_are_refused_by_metrics(tmp_path, small_items):
    model = broken(tmp_path / "m", "lm_head.weight", (7, 1), "bfloat16")
    scores = mechcla.score(model, small_items.universal.dev.language("es"))
    assert len(scores.not_finite) == 3
    with pytest.raises(MechclaError, match="is not finite"):
        mechcla.transfer(scores)
    assert torch.isnan(torch.tensor(scores[0].log_likelihood)).any()


def test_a_method_that_is_not_finite_on_test_is_left_out_of_the_tables(half, small_items, tmp_path):
    asked = {"out": str(tmp_path / "run"), "dtype": "float16", "controls": False}
    sweep = open_sweep(make(asked | {"layers": [1, 3]}), half, small_items)
    methods = {
        "EN": Method(en_layer=1, en_strength=0.3),
        "LOC": Method(loc_layer=1, loc_strength=HUGE),
    }
    tables = report_test(sweep, {f: {"es": m} for f, m in methods.items()})
    assert set(tables) == {"unsteered", "explicit", "EN"}
    for table in tables.values():
        for cell in table.cells.values():
            columns = [*cell.columns.values(), *filter(None, [cell.margins])]
            assert columns
            assert all(np.isfinite(column.values).all() for column in columns)
    assert [str(j) for j in sweep.lost("test")] == [
        "the cell test es cultural LOC1x1e+07",
        "the cell test es universal LOC1x1e+07",
    ]
    rows = summarise(tables, ["es"], 100, 0)
    assert {r.method for r in rows} == {"unsteered", "explicit", "EN"}
