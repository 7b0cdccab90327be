"""A sweep whose EN is a linear map: its cells, arms, files and choice; and a soft gate's sweep."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

import mechcla
from mechcla.__main__ import main
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.runs.parts import join_vectors
from mechcla.runs.run import Run
from mechcla.scoring.scores import Scores
from mechcla.steering.gate import gated
from mechcla.steering.linear_map import fit_map, map_of, map_steering
from mechcla.steering.method import Manner, Method
from mechcla.steering.recorded import RecordedChoice, method_of, read_choice
from mechcla.sweep.config import make, parse
from mechcla.sweep.price import vectors_bytes
from mechcla.sweep.ready import make_ready
from mechcla.sweep.rehearsal import rehearse
from mechcla.vectors.extract import half_signs
from mechcla.vectors.residuals import cache_residuals
from mechcla.vectors.steering_vectors import SteeringVectors

SETTINGS = {
    "layers": [0, 1, 2, 3],
    "en_strengths": [0.5, 1.0],
    "loc_strengths": [2.0],
    "en_operator": "map",
    "restore": False,
    "gated": True,
    "gate_scale": 0.5,
    "resamples": 100,
    "figures": False,
}


@pytest.fixture(scope="module")
def items(small_items) -> ItemSet:
    return small_items


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_models, items) -> Run:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("map") / "run"
    return mechcla.run_sweep(tiny_models["llama"], items, out=out, **SETTINGS)


@pytest.fixture(scope="module")
def points(run) -> list[dict]:
    (choice,) = run.selection["choices"]
    return choice["points"]


def cell(run: Run, name: str, kind: str) -> Scores:
    (path,) = (run.folder / "cells/dev/es").glob(f"{name}-{kind}-*.parquet")
    return Scores.from_parquet(path)


def close(stored: Scores, fresh: Scores) -> None:
    """Cells run together round together, so the last digits may differ from scoring one alone."""
    assert len(stored) == len(fresh) > 1
    for one, other in zip(stored, fresh, strict=True):
        assert one.id == other.id
        assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=2e-5)


def learnt(tiny, items, layer: int):
    return fit_map(cache_residuals(tiny, items.universal.dev), "es", layer)


@pytest.mark.parametrize("kind", ["universal", "cultural"])
def test_ens_cells_are_the_maps_at_every_layer_and_strength(run, points, tiny, items, kind):
    found = [p for p in points if p["family"] == "EN"]
    assert {(p["en_layer"], p["en_strength"]) for p in found} == {
        (layer, s) for layer in range(4) for s in (0.5, 1.0)
    }
    mine = items.dev.language("es").where(lambda i: i.kind == kind)
    for p in found:
        steps = map_steering(learnt(tiny, items, p["en_layer"]), p["en_strength"])
        close(cell(run, p["name"], kind), mechcla.score(tiny, mine, steps))


def test_the_edits_are_map_steerings_to_the_last_bit(run, tiny, items):
    """The same bytes, layer, strength, site and positions: one identity."""
    manner = make(run.config).manner
    for layer in range(4):
        (own,) = Method(layer, 0.5).interventions(run.vectors, "es", manner)
        (other,) = map_steering(learnt(tiny, items, layer), 0.5)
        assert torch.equal(own.vector, other.vector)
        assert own.matrix is not None
        assert torch.equal(own.matrix, other.matrix)
        assert own.describe() == other.describe()


def test_sur_and_gated_hold_the_map(run, points, tiny, items):
    mine = items.dev.language("es").cultural
    loc, gate = run.vectors["LOC"], mechcla.Gate.from_vectors(run.vectors["GATE"])
    sur = next(p for p in points if p["family"] == "SUR")
    both = next(p for p in points if p["family"] == "GATED")
    assert both["gate_scale"] == 0.5
    for p in (sur, both):
        en = map_steering(learnt(tiny, items, p["en_layer"]), p["en_strength"])
        local = mechcla.loc_steering(
            loc, language="es", layer=p["loc_layer"], strength=p["loc_strength"]
        )
        if p is both:
            where = {"language": "es", "layer": p["gate_layer"], "scale": 0.5}
            steps = gated(gate, universal=en, cultural=local, **where)
        else:
            steps = (*en, *local)
        close(cell(run, p["name"], "cultural"), mechcla.score(tiny, mine, steps))


def test_files_selection_and_reader_say_the_operator(run):
    assert run.config["en_operator"] == run.selection["en_operator"] == "map"
    assert run.config["en_positions"] == "last_prompt_token"
    en = run.vectors["EN"]
    assert (en.record["en_operator"], en.record["ridge"]) == ("map", 1.0)
    assert en.rows.languages == ("es",)
    for other in ("LOC", "EN shuffled", "LOC shuffled"):
        assert run.vectors[other].rows is None
    assert {"EN random", "EN shuffled", "SUR swapped", "SUR same_layer"} <= set(run.conditions)


def arm(run: Run, name: str, method: Method):
    return method.with_arm(name).interventions(run.vectors, "es", make(run.config).manner)


def pushes(step, rows: torch.Tensor) -> torch.Tensor:
    return rows.double() @ step.matrix.double() + step.vector.double() - rows.double()


def test_the_random_arm_pushes_as_far_item_by_item_but_elsewhere(run, tiny, items):
    rows = cache_residuals(tiny, items.dev)["es"][:, 2]  # other prompts than it was fitted on, too
    (real,) = Method(2, 0.5).interventions(run.vectors, "es", make(run.config).manner)
    (other,) = arm(run, "random", Method(2, 0.5))
    one, two = pushes(real, rows), pushes(other, rows)
    torch.testing.assert_close(one.norm(dim=-1), two.norm(dim=-1), rtol=1e-4, atol=1e-5)
    cosine = torch.nn.functional.cosine_similarity(one, two).abs()
    assert float(cosine.max()) < 0.8
    assert other.describe() == arm(run, "random", Method(2, 0.5))[0].describe()
    assert other.label == "random EN map"


def test_the_shuffled_arm_is_scikit_learns_ridge_on_exchanged_sides(run, tiny, items):
    found = cache_residuals(tiny, items.universal.dev)
    english, own = (t[:, 1].double().numpy() for t in found.paired("en", "es"))
    signs = half_signs(items.dev)
    away = np.array([signs[i] < 0 for i in found.ids["es"]])[:, None]
    assert 0 < away.sum() < len(away)
    target, source = np.where(away, own, english), np.where(away, english, own)
    penalty = np.square(source - source.mean(0)).sum() / len(source)
    fitted = Ridge(alpha=penalty).fit(source, target - source).predict(own)
    (real,) = Method(1, 1.0).interventions(run.vectors, "es", make(run.config).manner)
    (step,) = arm(run, "shuffled", Method(1, 1.0))
    rows = torch.from_numpy(own).float()
    size = math.sqrt(float(pushes(real, rows).square().sum(-1).mean()))
    expected = fitted * size / math.sqrt(np.square(fitted).sum(-1).mean())
    np.testing.assert_allclose(pushes(step, rows).numpy(), expected, atol=1e-3)


def test_the_swapped_arm_adds_loc_in_the_maps_place(run):
    method = Method(1, 0.5, loc_layer=3, loc_strength=2.0)
    en, loc = arm(run, "swapped", method)
    assert torch.equal(en.matrix, torch.eye(len(en.vector)))
    real = run.vectors["EN"]["es"], run.vectors["LOC"]["es"]
    unit = real[1][1] / real[1][1].norm() * real[0][1].norm()
    torch.testing.assert_close(en.vector, unit)
    torch.testing.assert_close(loc.vector, real[0][3] / real[0][3].norm() * real[1][3].norm())
    assert loc.operator == "add"
    map_at_loc, _ = arm(run, "same_layer", method)
    share = float(real[0][1].norm() / real[0][3].norm())
    assert (map_at_loc.operator, map_at_loc.layer) == ("map", 3)
    assert map_at_loc.strength == pytest.approx(0.5 * share)


def test_a_run_is_resumed_and_another_operator_is_another_run(run, tiny_models, items):
    before = {p: p.stat().st_mtime_ns for p in run.folder.rglob("cells/**/*.parquet")}
    mechcla.run_sweep(tiny_models["llama"], items, out=run.folder, **SETTINGS)
    assert before == {p: p.stat().st_mtime_ns for p in run.folder.rglob("cells/**/*.parquet")}
    other = SETTINGS | {"en_operator": None}
    with pytest.raises(MechclaError, match="en_operator: the folder has 'map', this run None"):
        mechcla.run_sweep(tiny_models["llama"], items, out=run.folder, **other)


def test_generate_takes_the_runs_map(run, tiny, capsys, tmp_path):
    out, prompt = tmp_path / "answers.jsonl", "La capital de Francia es"
    asked = ["--run", str(run.folder), "--method", "gated", "--languages", "es", "--out", str(out)]
    assert main(["generate", *asked, "--max-new-tokens", "4", prompt]) == 0, capsys.readouterr().err
    method = method_of(run.choice["GATED"]["es"])
    steps = method.interventions(run.vectors, "es", make(run.config).manner)
    assert "map" in {one.operator for one in steps}
    answers = mechcla.generate(tiny, [prompt], interventions=steps, max_new_tokens=4)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert answers[0].text in [line.get("answer") for line in lines], lines
    exported = ["--run", str(run.folder), "--method", "sur", "--languages", "es"]
    assert main(["export", *exported, "--out", str(tmp_path / "es.gguf")]) == 2
    assert "the EN map edit of block" in capsys.readouterr().err
    assert not (tmp_path / "es.gguf").exists()


def test_a_recorded_choice_travels_with_the_chosen_layers_rows(run, tmp_path, tiny, items):
    chosen = RecordedChoice(
        "SUR",
        {"es": Method(1, 0.5, loc_layer=3, loc_strength=2.0)},
        make(run.config).manner,
        {n: run.vectors[n] for n in ("EN", "LOC")},
        {},
    )
    chosen.save(tmp_path)
    back = read_choice(tmp_path)
    assert back.vectors["EN"].rows.rows["es"].shape[2] == 1
    for one, other in zip(chosen.interventions("es"), back.interventions("es"), strict=True):
        assert one.describe() == other.describe()
    with pytest.raises(MechclaError, match="layer 2 was left out of these EN vectors"):
        map_of(back.vectors["EN"], "es", 2)


def test_rows_of_parts_are_joined_and_saved_to_the_last_bit(run, tmp_path, items):
    (joined,) = [join_vectors({"es": run.vectors}, items.dev)["EN"]]
    joined.save(tmp_path / "en.safetensors")
    again = SteeringVectors.load(tmp_path / "en.safetensors")
    assert torch.equal(again.rows.rows["es"], run.vectors["EN"].rows.rows["es"])
    assert again.rows.swapped == run.vectors["EN"].rows.swapped
    assert torch.equal(map_of(again, "es", 2).weight, map_of(run.vectors["EN"], "es", 2).weight)


def test_vectors_without_rows_are_refused(run, tmp_path, tiny_models, items):
    plain = replace(run.vectors["EN"], rows=None)
    with pytest.raises(MechclaError, match="hold no activations to fit a linear map on"):
        Method(1, 0.5).interventions({"EN": plain}, "es", Manner(en_operator="map"))
    paths = [tmp_path / "en.safetensors", tmp_path / "loc.safetensors"]
    plain.save(paths[0])
    run.vectors["LOC"].save(paths[1])
    given = SETTINGS | {"vectors": [str(p) for p in paths]}
    with pytest.raises(MechclaError, match="en-operator map: the EN file of --vectors holds"):
        mechcla.run_sweep(tiny_models["llama"], items, out=tmp_path / "run", **given)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--en-operator", "mapp"], "did you mean 'map'"),
        (
            ["--en-operator", "map"],
            "operator 'map' has no restoration and no unit; add --no-restore",
        ),
        (
            ["--en-operator", "map", "--no-restore", "--unit", "relative"],
            "operator 'map' has no .* leave --unit raw",
        ),
        (["--gate-scale", "0.5"], "gate_scale=0.5 is the gate's, which is not used; add --gated"),
        (["--gated", "--gate-scale", "0"], "setting 'gate_scale' is '0'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(flags, message):
    with pytest.raises(MechclaError, match=message):
        parse(flags)


def test_flags_file_and_python_say_the_same(tmp_path):
    file = tmp_path / "map.yaml"
    file.write_text("en_operator: map\nrestore: false\ngated: true\ngate_scale: 0.5\n")
    flags = ["--en-operator", "map", "--no-restore", "--gated", "--gate-scale", "0.5"]
    given = {"en_operator": "map", "restore": False, "gated": True, "gate_scale": 0.5}
    found = [parse(flags), parse(["--config", str(file)]), make(given)]
    assert len({json.dumps(c.resolved(), sort_keys=True) for c in found}) == 1
    assert found[0].en_positions == "last_prompt_token"
    assert parse([*flags, "--en-positions", "prompt"]).en_positions == "prompt"
    assert make({}).en_positions == "prompt"
    assert make({}).manner == Manner()


def test_a_dry_run_counts_the_rows(tiny_models, items, tmp_path):
    ready = make_ready(make({**SETTINGS, "out": str(tmp_path)}), tiny_models["llama"], items)
    plain = make_ready(make({**SETTINGS, "en_operator": None}), tiny_models["llama"], items)
    sweep = rehearse(ready)
    n = len(items.universal.dev.language("es"))
    more = vectors_bytes(ready, sweep) - vectors_bytes(plain, rehearse(plain))
    assert more == 2 * n * 4 * (32 + 1) * 4
