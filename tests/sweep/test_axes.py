"""Sweeps over items of one kind alone, or of both in some languages: the axis that they allow."""

from __future__ import annotations

import csv
import json
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.steering.families import AXIS_OF
from mechcla.steering.method import Method
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import make
from mechcla.sweep.dev_point import dev_point
from mechcla.sweep.runner import open_sweep
from mechcla.sweep.search import DevSearch
from tests.slow import others_slow
from tests.sweep.test_held import chosen

FEW = {"layers": [0, 1, 3], "restore": True, "resamples": 100, "gated": True}
FEW |= {"loc_strengths": [2.0, 8.0], "figures": False}


@pytest.fixture(scope="module")
def mixed(small_items: ItemSet) -> ItemSet:
    """Spanish with both kinds, Portuguese with universal items alone, Catalan with cultural."""
    spanish = small_items.language("es")
    more = [replace(i, language="pt", prompt=f"{i.prompt} o") for i in spanish.universal]
    for i in spanish.cultural:
        forms = ("prompt", "prompt_explicit", "prompt_us")
        more.append(replace(i, language="ca", **{f: f"{getattr(i, f)} i" for f in forms}))
    return ItemSet((*small_items, *more))


def sets(mixed: ItemSet) -> dict[str, ItemSet]:
    return {
        "universal": mixed.universal,
        "cultural": mixed.cultural,
        "cultural without English": mixed.cultural.where(lambda i: i.language != "en"),
        "mixed": mixed,
    }


NAMES = ["universal", "cultural", "cultural without English", "mixed"]
NAMES = others_slow(NAMES, {"universal", "mixed"})
FAMILIES = {
    "universal": {"EN": ["es", "pt"], "EN+restore": ["es", "pt"]},
    "cultural": {"LOC": ["ca", "es"]},
    "cultural without English": {"LOC": ["ca", "es"]},
    "mixed": {k: ["es", "pt"] for k in ("EN", "EN+restore")}
    | {"LOC": ["ca", "es"], "SUR": ["es"], "GATED": ["es"]},
}


@pytest.fixture(scope="module", params=NAMES)
def case(request, mixed, tiny_models, tmp_path_factory):
    """(name, items, run, what the run said on stderr)"""
    items, out = sets(mixed)[request.param], tmp_path_factory.mktemp("axes") / "run"
    said = tmp_path_factory.mktemp("said") / "stderr"
    torch.set_num_threads(1)
    with said.open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", file)
        run = mechcla.run_sweep(tiny_models["llama"], items, out=out, **FEW | {"figures": True})
    return request.param, items, run, said.read_text()


def finite(value) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def test_families_are_chosen_in_the_languages_that_allow_them(case):
    name, _, run, said = case
    assert {f: sorted(by) for f, by in run.choice.items()} == FAMILIES[name]
    if name == "mixed":
        after = said.partition("in pt: localization is not measured there, and ")[2]
        assert {"LOC", "SUR", "explicit"} <= set(after.partition(" are left")[0].split(", "))
        assert "no universal items in ca: transfer is not measured there, and EN" in said
        assert "the plane shows es" in said
    else:
        lacking = {"universal": "cultural"}.get(name, "universal")
        assert f"no {lacking} items in es, pt" in said or f"no {lacking} items in es, ca" in said
        assert "there is no plane" in said


def test_every_condition_is_what_score_gives(case, tiny_models):
    name, items, run, _ = case
    model = tiny_models["llama"]
    assert ("explicit" in run.conditions) == (name != "universal")
    steered = dict.fromkeys(run.choice, 0)
    for family, by in run.choice.items():
        for language, method in by.items():
            settings = {k: v for k, v in method.items() if k not in ("family", "name")}
            edits = Method(**settings).interventions(run.vectors, language)
            test = items.test.language(language)
            mine = [r for r in run.scores(family) if r.language == language]
            fresh = {(r.id, r.kind): r for r in mechcla.score(model, test, edits)}
            assert len(mine) == len(fresh)
            for row in mine:
                wanted = fresh[row.id, row.kind].log_likelihood
                assert row.log_likelihood == pytest.approx(wanted, abs=1e-4)
            steered[family] += 1
    assert sum(steered.values()) >= 2
    unsteered = {(r.id, r.language, r.kind) for r in run.scores("unsteered")}
    assert unsteered == {(i.id, i.language, i.kind) for i in items.test}


def test_the_choice_is_the_best_of_dev_on_the_axis_that_there_is(case, tiny_models):
    _, items, run, _ = case
    selection = json.loads((run.folder / "selection.json").read_text())
    checked = 0
    for choice in selection["choices"]:
        (language,) = choice["languages"]
        for family, axis in (("EN", "d_transfer"), ("LOC", "d_localization")):
            gains = [p[axis] for p in choice["points"] if p["family"] == family]
            assert bool(gains) == (language in run.choice.get(family, {}))
            if not gains or max(gains) <= 0:
                continue
            chosen = run.choice[family][language]
            best = next(
                p for p in choice["points"] if (p["family"], p[axis]) == (family, max(gains))
            )
            assert chosen["name"] == best["name"]
            metric = {"EN": "transfer", "LOC": "localization"}[family]
            edits = Method(
                **{k: v for k, v in chosen.items() if k not in ("family", "name")}
            ).interventions(run.vectors, language)
            dev = items.dev.language(language)
            model = tiny_models["llama"]
            base = mechcla.score(model, dev)
            gain = mechcla.difference(mechcla.score(model, dev, edits), base, metric)[language]
            assert gain.value == pytest.approx(max(gains), abs=1e-5)
            checked += 1
    assert checked


def test_tables_have_what_was_measured_and_no_nan(case):
    name, _, run, _ = case
    rows = list(run.summary)
    metrics = {r["metric"] for r in rows} - {"recoverable_fraction"}
    both = {"transfer", "localization", "english_bias"}
    assert metrics == {"universal": {"transfer"}, "mixed": both}.get(
        name, {"localization", "english_bias"}
    )
    for row in rows:
        if row["metric"] != "recoverable_fraction":  # nan where naming the country does not help
            assert all(finite(v) for v in row.values()), row
    fresh = {
        "transfer": mechcla.transfer,
        "localization": mechcla.localization,
        "english_bias": mechcla.english_bias,
    }
    for condition in {r["method"] for r in rows}:
        steered = mechcla.Scores(tuple(r for r in run.scores(condition) if r.language != "en"))
        for metric in metrics:
            for row in rows:
                if (row["method"], row["metric"]) == (condition, metric) and row[
                    "language"
                ] != "en":
                    value = fresh[metric](steered, row["measure"])[row["language"]]
                    assert row["value"] == pytest.approx(value.value, abs=1e-12)
                    assert row["n"] == value.n
    for table in (run.tests, run.arms):
        assert all(finite(v) for r in table for k, v in r.items() if k != "detectable")
    axes = {r["metric"] for r in run.tests}
    assert axes == {m for m in ("transfer", "localization") if m in metrics}
    if name == "mixed":
        assert {r["language"] for r in run.tests if r["metric"] == "transfer"} == {
            "es",
            "pt",
            "all",
        }
        assert {r["language"] for r in run.arms if r["method"] == "SUR"} == {"es", "all"}
    arms = {r["against"] for r in run.arms}
    assert ("EN shuffled" in arms) == ("EN" in run.choice)
    assert ("LOC other_country" in arms) == ("LOC us_country" in arms) == ("LOC" in run.choice)
    assert ("LOC orthogonal" in arms) == (name == "mixed")


def test_the_plane_and_its_figures_are_there_where_a_language_has_both_kinds(case):
    name, _, run, _ = case
    figures = {p.name for p in (run.folder / "figures").glob("*.png")}
    assert "fig4_layers.png" in figures
    assert ("fig5_surgical.png" in figures) == ("fig2_tradeoff.png" in figures) == (name == "mixed")
    if name != "mixed":
        with pytest.raises(MechclaError, match="no language with both universal and cultural"):
            run.plane()
        return
    points = run.plane()
    assert {p.language for p in points} == {"es", "all"}
    for p in points:
        row = run.summary.one(
            method=p.method, language="es", metric="localization", measure="share"
        )
        assert p.localization.value == pytest.approx(row["value"], abs=1e-12)


def test_runs_of_one_kind_are_compared_on_their_axis(mixed, tiny_models, tmp_path):
    few = {"controls": False, **FEW}
    run = mechcla.run_sweep(tiny_models["llama"], mixed.universal, out=tmp_path / "one", **few)
    other = mechcla.run_sweep(tiny_models["qwen3"], mixed, out=tmp_path / "other", **few)
    found = mechcla.compare_runs([run, other])
    assert {r["metric"] for r in found.rows()} == {"transfer"}
    assert found.plane() == ()


@pytest.mark.parametrize("name", NAMES)
def test_configure_chooses_what_the_sweep_chooses(name, mixed, tiny, tmp_path):
    items = sets(mixed)[name]
    found = mechcla.configure(tiny, items, try_positions=[], out=str(tmp_path / "c"), **FEW)
    run = mechcla.run_sweep(tiny, items, out=tmp_path / "s", controls=False, **FEW)
    assert chosen(found) == run.choice
    assert 0 < found.cells <= found.full_grid
    with pytest.raises(MechclaError, match=r"no family 'SUR'|no SUR was chosen for 'pt'"):
        found.method("SUR", "pt")
    moved = mechcla.configure(tiny, items, **FEW)  # other positions too
    assert set(moved.choices.families) == set(FAMILIES[name])


@pytest.mark.parametrize("name", NAMES)
def test_one_choice_for_all_languages_is_made_over_those_that_allow_it(name, mixed, tiny, tmp_path):
    items = sets(mixed)[name]
    run = mechcla.run_sweep(tiny, items, out=tmp_path / "run", choose="pooled", **FEW)
    assert {f: sorted(by) for f, by in run.choice.items()} == FAMILIES[name]
    (choice,) = json.loads((run.folder / "selection.json").read_text())["choices"]
    for point in choice["points"]:
        for axis, n in (("d_transfer", 0), ("d_localization", 1)):
            parts = [v[n] for v in point["by_language"].values() if v[n] is not None]
            if parts:
                assert point[axis] == pytest.approx(sum(parts) / len(parts), abs=1e-12)
            else:
                assert point[axis] is None
    for by in run.choice.values():
        assert len({json.dumps(m) for m in by.values()}) == 1
    if name != "mixed":
        return
    # what is compared with Surgical Steering, which is Spanish alone, is compared in Spanish
    gains = {
        p["name"]: tuple(p["by_language"]["es"])
        for p in choice["points"]
        if p["by_language"].get("es") and None not in p["by_language"]["es"]
    }
    front = {
        name
        for name, (x, y) in gains.items()
        if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in gains.values())
    }
    assert {p["name"] for p in choice["pareto_front"]} == front
    for p in choice["pareto_front"]:
        assert list(p["by_language"]) == ["es"]
        assert (p["d_transfer"], p["d_localization"]) == pytest.approx(gains[p["name"]])


def test_what_one_search_ranks_is_over_its_own_languages(mixed, tiny, tmp_path):
    """Layer 1 is the better one over es and pt, layer 0 in es, where both vectors can act."""
    config = make({"out": str(tmp_path / "run"), "choose": "pooled", **FEW})
    en = [Method(en_layer=k, en_strength=1.0) for k in (0, 1)]
    gains = {
        en[0]: {("es", "universal"): 0.3, ("es", "cultural"): 0.1, ("pt", "universal"): 0.0},
        en[1]: {("es", "universal"): 0.2, ("es", "cultural"): 0.1, ("pt", "universal"): 0.9},
    }
    with closing(open_sweep(config, tiny, mixed)) as sweep:
        points = {
            m: dev_point(m, {key: {AXIS_OF[key[1]]: gain} for key, gain in by.items()})
            for m, by in gains.items()
        }
        everywhere = DevSearch(sweep, ["es", "pt", "ca"], points)
        surgical, own = everywhere.of("SUR"), everywhere.of("EN")
        assert surgical is not None
        assert own is not None
        assert own.ranked("EN", 2) == en[::-1]
        assert surgical.ranked("EN", 2) == en
        assert surgical.ranked("EN", 2, by="sum") == en
        assert everywhere.ranked("EN", 2, by="sum") == en


def test_what_allows_no_axis_is_one_message(mixed, tiny, tmp_path, capsys):
    for items, said in (
        (mixed.language("en"), "a sweep needs items in a language beside English"),
        (mixed.dev, "items of 'en' are all dev; expected test items too"),
        (
            mixed.universal.where(lambda i: i.language != "en"),
            "needs the universal items in English",
        ),
    ):
        with pytest.raises(MechclaError, match=said):
            mechcla.run_sweep(tiny, items, out=tmp_path / "none", **FEW)
    assert not (tmp_path / "none").exists()


def test_the_command_runs_a_file_of_one_kind_with_anybodys_vectors(
    mixed, tiny, tiny_folders, tmp_path: Path, capsys
):
    mixed.cultural.to_jsonl(tmp_path / "items.jsonl")
    mechcla.loc_vectors(tiny, mixed.cultural.dev).save(tmp_path / "loc.safetensors")
    mechcla.en_vectors(tiny, mixed.universal.dev).save(tmp_path / "en.safetensors")
    arguments = ["--model", str(tiny_folders["llama"]), "--items", str(tmp_path / "items.jsonl")]
    arguments += ["--device", "cpu", "--layers", "0,2", "--resamples", "100"]
    asked = [*arguments, "--vectors", str(tmp_path / "loc.safetensors")]
    assert main([*asked, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert "localization" in said.out
    assert "transfer" not in said.out
    assert "no universal items in es, ca: transfer is not measured there" in said.err
    with (tmp_path / "run" / "summary.csv").open() as file:
        assert "transfer" not in {row["metric"] for row in csv.DictReader(file)}
    asked = [*arguments, "--vectors", str(tmp_path / "en.safetensors")]
    assert main([*asked, "--out", str(tmp_path / "no")]) == 2
    assert "no file named 'LOC'; expected one named LOC" in capsys.readouterr().err


def test_a_shared_point_is_over_the_languages_that_have_the_kind(case):
    name, _, run, _ = case
    cells = json.loads((run.folder / "figures" / "fig4_layers.json").read_text())["cells"]
    choices = json.loads((run.folder / "selection.json").read_text())["choices"]
    checked = 0
    for cell in cells:
        if cell["family"] not in ("EN", "LOC"):
            continue
        mine = [p for c in choices for p in c["points"] if p["name"] == cell["name"]]
        for axis in ("d_transfer", "d_localization"):
            parts = [p[axis] for p in mine if p[axis] is not None]
            if parts:
                assert cell[axis] == pytest.approx(sum(parts) / len(parts), abs=1e-12)
                checked += 1
            else:
                assert cell[axis] is None
    assert checked >= len(cells) / 2
    assert name != "mixed" or any(
        c["family"] == "EN" and c["d_localization"] is not None for c in cells
    )


def test_a_pooled_number_says_its_languages_where_they_are_not_all_the_same(
    mixed, tiny_folders, tmp_path, capsys
):
    asked = ["--model", str(tiny_folders["llama"]), "--device", "cpu", "--layers", "0,2"]
    asked += ["--no-restore", "--resamples", "100", "--no-controls", "--no-figures"]
    for name, items in (("mixed", mixed), ("one", mixed.universal)):
        items.to_jsonl(tmp_path / f"{name}.jsonl")
        source = ["--items", str(tmp_path / f"{name}.jsonl")]
        assert main([*asked, *source, "--out", str(tmp_path / name)]) == 0
        said = capsys.readouterr().out
        assert ("is pooled over" in said) == (name == "mixed")
        if name == "mixed":
            assert "transfer is pooled over es pt; LOC es; SUR es" in said
            assert "localization is pooled over es ca; EN es; SUR es" in said


def test_vectors_that_need_no_translations_are_made_without_any(mixed, tiny, tmp_path):
    """language_mean takes all prompts of both languages; files take none."""
    apart = [replace(i, id=f"{i.language}-{i.id}") for i in mixed.universal]
    items = ItemSet((*apart, *mixed.cultural))
    few = {"layers": [0, 2], "restore": False, "resamples": 100, "controls": False}
    few |= {"figures": False}
    with pytest.raises(MechclaError, match="no universal item of 'es' shares its id with one"):
        mechcla.run_sweep(tiny, items, out=tmp_path / "no", **few)
    run = mechcla.run_sweep(tiny, items, out=tmp_path / "mean", recipe="language_mean", **few)
    english, spanish = (
        [residual(tiny, i.prompt) for i in items.dev.universal.language(k)] for k in ("en", "es")
    )
    wanted = torch.stack(english).mean(0) - torch.stack(spanish).mean(0)
    torch.testing.assert_close(run.vectors["EN"]["es"], wanted, atol=1e-5, rtol=1e-4)
    files = []
    for name in ("EN", "LOC"):
        files.append(str(tmp_path / f"{name}.safetensors"))
        run.vectors[name].save(files[-1])
    foreign = items.where(lambda i: (i.language, i.kind) != ("en", "universal"))
    for name, given in (("files", items), ("foreign", foreign)):
        other = mechcla.run_sweep(tiny, given, out=tmp_path / name, vectors=files, **few)
        assert other.choice == run.choice


def residual(model, prompt: str) -> torch.Tensor:
    """[layer, d_model] after each block at the prompt's last token, by transformers alone."""
    ids = model.tokenizer(prompt, return_tensors="pt").input_ids
    seen: list[torch.Tensor] = []
    layers = model.bridge.original_model.model.layers
    handles = [
        layer.register_forward_hook(
            lambda _m, _a, out: seen.append((out[0] if isinstance(out, tuple) else out)[0, -1])
        )
        for layer in layers
    ]
    try:
        with torch.no_grad():
            model.bridge.original_model(ids)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(seen)
