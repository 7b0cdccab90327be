"""A run read back: the same numbers as the API gives, flips counted by hand, damage refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.storage import write_sealed
from mechcla.sweep.__main__ import main
from tests.docs.pages import python_blocks


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_folders, small_items):
    base = tmp_path_factory.mktemp("reader")
    small_items.to_jsonl(base / "items.jsonl")
    arguments = ["--model", str(tiny_folders["llama"]), "--items", str(base / "items.jsonl")]
    arguments += ["--device", "cpu", "--layers", "0,2", "--no-restore", "--resamples", "100"]
    arguments += ["--no-figures"]
    assert main([*arguments, "--loc-strengths", "8", "--out", str(base / "run")]) == 0
    return base / "run"


def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_condition_is_what_score_gives(folder, tiny_models, small_items):
    run = mechcla.read_run(folder)
    assert run.status == "complete"
    model = tiny_models["llama"]
    found = {(r.id, r.language, r.kind): r for r in run.scores("unsteered")}
    assert len(found) == len(small_items.test)
    for row in mechcla.score(model, small_items.test):
        mine = found[row.id, row.language, row.kind]
        assert mine.log_likelihood == pytest.approx(row.log_likelihood, abs=1e-4)
    arm = run.vectors["LOC US"]
    chosen = run.choice["LOC"]["es"]
    assert chosen["family"] == "LOC"
    like = mechcla.steering.controls.like(arm, run.vectors["LOC"], "LOC of the US")
    edits = mechcla.loc_steering(like, language="es", layer=chosen["loc_layer"], strength=8.0)
    steered = mechcla.score(model, small_items.test.language("es").cultural, edits)
    for a, b in zip(run.scores("LOC us_country"), steered, strict=True):
        assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-4)


def test_the_plane_is_the_summarys(folder):
    run = mechcla.read_run(folder)
    for point in run.plane():
        row = run.summary.one(
            method=point.method, language=point.language, metric="localization", measure="share"
        )
        assert row["value"] == pytest.approx(point.localization.value, abs=1e-12)
        assert row["low"] == pytest.approx(point.localization.low, abs=1e-12)
    assert not any(" " in p.method for p in run.plane())


def test_items_say_what_was_chosen_and_what_flipped(folder, small_items):
    run = mechcla.read_run(folder)
    rows = run.items("unsteered", "LOC random")
    assert {r["condition"] for r in rows} == {"unsteered", "LOC random"}
    base = {(r.id, r.language, r.kind): r for r in run.scores("unsteered")}
    flipped = 0
    for condition in ("explicit", "LOC random", "SUR swapped"):
        expected = {}
        for row in run.scores(condition):
            before = base[row.id, row.language, row.kind]
            was, now = (
                r.roles[max(range(len(r.roles)), key=r.log_likelihood.__getitem__)]
                for r in (before, row)
            )
            if was != now:
                expected[row.id, row.language] = f"{was} -> {now}"
        found = {(r["id"], r["language"]): r["flipped"] for r in run.flips(condition)}
        assert found == expected
        flipped += len(found)
    assert flipped
    asked = run.items("explicit").where(kind="cultural", language="es")[0]
    item = next(i for i in small_items.test if (i.id, i.language) == (asked["id"], "es"))
    assert asked["prompt"] == item.prompt_explicit
    assert len(rows.to_pandas()) == len(rows)


def test_a_damaged_cell_or_choice_is_refused_by_name(folder, tmp_path):
    damaged = copy(folder, tmp_path)
    stem = json.loads((damaged / "conditions.json").read_text())["conditions"]["unsteered"][0]
    (cell,) = damaged.glob(f"{stem}-*.parquet")
    data = bytearray(cell.read_bytes())
    data[len(data) // 2] ^= 4
    cell.write_bytes(data)
    with pytest.raises(MechclaError, match=r"unsteered.*is damaged or missing"):
        mechcla.read_run(damaged).scores("unsteered")
    assert cell.exists()  # reading changes nothing
    frozen = json.loads((damaged / "frozen.json").read_text())
    frozen["choice"]["methods"]["EN"]["es"]["en_layer"] = 1
    (damaged / "frozen.json").write_text(json.dumps(frozen))
    with pytest.raises(MechclaError, match="does not match its digest"):
        mechcla.read_run(damaged).choice  # noqa: B018


def test_status_tells_a_killed_run_from_a_failed_one(folder, tmp_path):
    other = copy(folder, tmp_path)
    run = mechcla.read_run(other)
    write_sealed(other / "status.json", {"status": "running", "message": ""})
    assert run.status == "interrupted"  # nobody holds it
    write_sealed(other / "status.json", {"status": "failed", "message": "disk full"})
    assert run.status == "failed: disk full"


def test_what_is_no_run_is_refused_by_name(folder, tmp_path):
    with pytest.raises(MechclaError, match="no condition 'LOK'; did you mean 'LOC'"):
        mechcla.read_run(folder).scores("LOK")
    with pytest.raises(MechclaError, match=r"holds no run .it holds nothing"):
        mechcla.read_run(tmp_path)
    with pytest.raises(MechclaError, match=r"holds no run .no folder"):
        mechcla.read_run(tmp_path / "nowhere")
    old = copy(folder, tmp_path)
    (old / "record.json").write_text(json.dumps({"config": {}, "identity": {}, "versions": {}}))
    with pytest.raises(MechclaError, match=r"run of mechcla 0\.1"):
        mechcla.read_run(old)


def test_the_block_on_a_run_runs(folder, capsys):
    """Its first line makes the run, which tests/sweep/test_run_sweep.py does."""
    code = python_blocks("docs/howto.md")[0]
    made, *rest = code.replace('"runs/demo"', repr(str(folder))).splitlines()
    assert made.startswith("run = mechcla.run_sweep(")
    exec("\n".join(rest), {"mechcla": mechcla})
    said = capsys.readouterr().out
    assert said.startswith("complete {'")
    assert "p_holm" in said


def test_vectors_under_each_others_names_tables_and_items_that_were_edited(folder, tmp_path):
    other = copy(folder, tmp_path)
    run = mechcla.read_run(other)
    en, loc = other / "vectors/en.safetensors", other / "vectors/loc.safetensors"
    held = en.read_bytes()
    en.write_bytes(loc.read_bytes())
    loc.write_bytes(held)
    with pytest.raises(MechclaError, match="belong elsewhere"):
        run.vectors  # noqa: B018
    tests = other / "tests.csv"
    tests.write_text(tests.read_text().replace("es", "ko", 1))
    with pytest.raises(MechclaError, match=r"tests\.csv .* does not match its digest"):
        run.tests  # noqa: B018
    items = other / "items.jsonl"
    items.write_text(items.read_text().replace("Peru", "Chile"), encoding="utf-8")
    with pytest.raises(MechclaError, match=r"items\.jsonl .* does not match its digest"):
        run.items("unsteered")
