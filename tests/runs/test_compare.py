"""compare_runs: every number by hand from the runs' scores; what differs is counted or refused."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mechcla
from mechcla.__main__ import main as command
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.storage import read_sealed, write_sealed
from mechcla.sweep.__main__ import main

FLAGS = ["--device", "cpu", "--layers", "0,2", "--no-restore", "--resamples", "100"]
FLAGS += ["--no-figures"]


def swept(model: Path, items: ItemSet, out: Path, *flags: str) -> Path:
    path = out.with_suffix(".jsonl")
    items.to_jsonl(path)
    arguments = ["--model", str(model), "--items", str(path), *FLAGS, *flags, "--out", str(out)]
    assert main(arguments) == 0
    return out


@pytest.fixture(scope="module")
def three(small_items: ItemSet) -> ItemSet:
    """The small items, and the Spanish ones again as a third language."""
    more = (replace(i, language="pt", prompt=f"{i.prompt} o") for i in small_items.language("es"))
    return ItemSet((*small_items, *more))


@pytest.fixture(scope="module")
def folders(tiny_folders, three, tmp_path_factory) -> tuple[Path, Path]:
    """A run of one model, and one of another over fewer items, with control arms."""
    base = tmp_path_factory.mktemp("runs")
    whole = swept(tiny_folders["llama"], three, base / "whole", "--no-controls")
    fewer = three.where(lambda i: (i.id, i.language) != ("cap1test", "pt"))
    part = swept(tiny_folders["qwen3"], fewer, base / "part", "--measure", "accuracy")
    return whole, part


@pytest.fixture(scope="module")
def compared(folders):
    return mechcla.compare_runs(folders)


ROLE = {"transfer": "correct", "localization": "local", "english_bias": "english"}
KIND = {"transfer": "universal", "localization": "cultural", "english_bias": "cultural"}


def by_hand(folder: Path, condition: str, metric: str, measure: str):
    """The metric of each item, by language and id, from the run's own table of scores."""
    frame = mechcla.read_run(folder).scores(condition).to_pandas()
    frame = frame[(frame.kind == KIND[metric]) & frame.roles.map(lambda r: ROLE[metric] in r)]

    def value(row) -> float:
        p = np.exp(np.asarray(row.log_likelihood) - np.logaddexp.reduce(row.log_likelihood))
        if measure == "accuracy":
            return float(row.roles[int(np.argmax(p))] == ROLE[metric])
        return float(sum(x for x, role in zip(p, row.roles, strict=True) if role == ROLE[metric]))

    frame["by_hand"] = [value(row) for row in frame.itertuples()]
    return frame.set_index(["language", "id"])["by_hand"]


@pytest.mark.parametrize("measure", ["share", "accuracy"])
def test_every_number_is_the_one_computed_by_hand(folders, compared, measure):
    found = compared if measure == "share" else mechcla.compare_runs(folders, measure)
    checked = 0
    for row in found.rows():
        first, own = (
            by_hand(f, row["condition"], row["metric"], measure)
            for f in (folders[0], folders[0] if row["run"] == "whole" else folders[1])
        )
        other = by_hand(folders[1], row["condition"], row["metric"], measure)
        shared = first.index.intersection(other.index)
        language = row["language"]
        keep = [k for k in shared if k[0] == language or (language == "all" and k[0] != "en")]
        assert row["n"] == len(keep)
        assert row["value"] == pytest.approx(own[keep].mean(), abs=1e-12)
        assert row["low"] <= row["value"] <= row["high"]
        if row["run"] == "part":
            assert row["difference"] == pytest.approx((own - first)[keep].mean(), abs=1e-12)
            assert row["difference_low"] <= row["difference"] <= row["difference_high"]
            assert row["questions"] == len({i for _, i in keep})
            checked += 1
        else:
            assert row["difference"] is row["p_value"] is row["p_holm"] is None
    assert checked > 20
    unsteered = found.rows().where(run="part", condition="unsteered", metric="transfer")
    assert {r["language"]: r["n"] for r in unsteered} == {"es": 3, "pt": 2, "all": 5, "en": 3}


def test_p_values_enumerate_signs_by_question_and_are_corrected_by_holm(folders, compared):
    rows = [r for r in compared.rows() if r["run"] == "part"]
    for row in rows:
        first, other = (by_hand(f, row["condition"], row["metric"], "share") for f in folders)
        change = (other - first).dropna().reset_index()
        own = change[
            change.language == row["language"]
            if row["language"] != "all"
            else change.language != "en"
        ]
        sums = own.groupby("id")["by_hand"].sum().to_numpy()
        signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
        reached = np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12
        assert row["exact"]
        assert row["p_value"] == pytest.approx(reached.mean())
    for pooled in (True, False):
        family = sorted(
            (r for r in rows if (r["language"] == "all") == pooled), key=lambda r: r["p_value"]
        )
        high = 0.0
        for k, row in enumerate(family):
            high = max(high, min(1.0, (len(family) - k) * row["p_value"]))
            assert row["p_holm"] == pytest.approx(high)


def test_what_is_left_out_and_what_differs_is_said(compared):
    left = compared.left_out.where(condition="unsteered")
    assert [dict(r) for r in left] == [
        {
            "run": "whole",
            "condition": "unsteered",
            "language": "pt",
            "kind": "universal",
            "items": 1,
            "why": "not scored by 'part'",
        }
    ]
    assert compared.differing["measure"] == ("share", "accuracy")
    assert compared.differing["controls"] == (False, True)
    assert "seed" not in compared.differing
    said = str(compared)
    assert "the runs differ in measure: share | accuracy" in said
    assert "left out of whole: 1 items, unsteered pt universal; not scored by 'part'" in said
    assert "unsteered" in said
    assert "EN random" not in said
    assert compared.limit in said
    assert compared.runs == ("whole", "part")


def test_control_arms_are_compared_where_both_have_them_and_they_are_asked_for(folders):
    with pytest.raises(MechclaError, match="nothing to compare"):
        mechcla.compare_runs(folders, conditions=["LOC random"])
    found = mechcla.compare_runs(folders, conditions=["LOC random", "unsteered"])
    assert "left out of part" in str(found)
    assert "'whole' has no such condition" in str(found)


def test_three_runs_are_compared_over_what_all_three_scored(folders, compared, tmp_path):
    copied = shutil.copytree(folders[0], tmp_path / "again")
    found = mechcla.compare_runs([folders[0], copied, mechcla.read_run(folders[1])])
    assert found.runs == ("whole", "again", "part")
    same = found.rows().where(run="again")
    assert {r["difference"] for r in same} == {0.0}
    assert {r["p_value"] for r in same} == {1.0}
    wanted = [(r["language"], r["difference"]) for r in compared.rows().where(run="part")]
    assert [(r["language"], r["difference"]) for r in found.rows().where(run="part")] == wanted


def test_the_plane_has_the_rows_values_and_its_figure_an_arrow_each(folders, compared):
    points = compared.plane()
    rows = compared.rows()
    assert {p.condition for p in points} >= {"unsteered", "EN", "LOC", "SUR"}
    for p in points:
        key = {"run": p.run, "condition": p.condition, "language": p.language}
        assert rows.one(metric="transfer", **key)["value"] == p.transfer.value
        assert rows.one(metric="localization", **key)["low"] == p.localization.low
    figure = mechcla.plots.compared(compared)
    assert [a.get_title() for a in figure.axes] == list(dict.fromkeys(p.condition for p in points))
    for axis in figure.axes:
        others = [p for p in points if p.condition == axis.get_title() and p.run == "part"]
        ends = {tuple(text.xy) for text in axis.texts}
        assert ends == {(p.transfer.value, p.localization.value) for p in others}
    one = mechcla.compare_runs(folders, metrics=["localization"])
    with pytest.raises(MechclaError, match="both"):
        mechcla.plots.compared(one)


def test_the_command_writes_table_and_figure(folders, compared, tmp_path, capsys):
    asked = ["compare", *map(str, folders), "--out", str(tmp_path / "c"), "--resamples", "2000"]
    assert command(asked) == 0
    said = capsys.readouterr().out
    assert said.startswith(str(compared))
    with (tmp_path / "c" / "compare.csv").open() as file:
        written = list(csv.DictReader(file))
    for row, record in zip(written, compared.rows(), strict=True):
        assert row["run"] == record["run"]
        assert float(row["value"]) == record["value"]
        assert row["p_holm"] == ("" if record["p_holm"] is None else str(record["p_holm"]))
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [
        "compare.csv",
        "compare.png",
        "compare.svg",
    ]


def test_other_questions_under_the_same_ids_are_refused_by_name(
    folders, three, tiny_folders, tmp_path
):
    other = ItemSet(
        tuple(
            replace(i, prompt=i.prompt.replace("capital", "big city")) if i.id == "cap0test" else i
            for i in three
        )
    )
    swept(tiny_folders["llama"], other, tmp_path / "other", "--no-controls")
    with pytest.raises(MechclaError) as error:
        mechcla.compare_runs([folders[0], tmp_path / "other"])
    said = str(error.value)
    assert "'whole' and 'other' ask different questions under the same ids" in said
    assert "3 test items differ: 'cap0test' (en), 'cap0test' (es), 'cap0test' (pt)." in said
    assert "differs in prompt: 'The capital of Japan is' and 'The big city of Japan is'" in said


def test_what_cannot_be_compared_is_one_message(folders, tmp_path, capsys):
    whole, part = folders
    for given, said in (
        ([whole], "two or more runs"),
        (str(whole), "two or more runs"),
        ([whole, whole], "is given twice"),
        ([whole, tmp_path / "none"], "holds no run"),
    ):
        with pytest.raises(MechclaError, match=said):
            mechcla.compare_runs(given)
    with pytest.raises(MechclaError, match="no run has a condition 'SURE'; did you mean 'SUR'"):
        mechcla.compare_runs(folders, conditions=["SURE"])
    with pytest.raises(MechclaError, match="unknown metric 'transfr'; did you mean 'transfer'"):
        mechcla.compare_runs(folders, metrics=["transfr"])
    with pytest.raises(MechclaError, match="unknown measure 'shar'"):
        mechcla.compare_runs(folders, "shar")
    copied = shutil.copytree(part, tmp_path / "copied")
    status = copied / "status.json"
    held = status.read_text()
    write_sealed(status, {"status": "failed", "message": "disk full"})
    with pytest.raises(MechclaError, match=r"copied' is not complete \(status failed: disk full\)"):
        mechcla.compare_runs([whole, copied])
    write_sealed(status, {"status": "running", "message": ""})
    assert command(["compare", str(whole), str(copied)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mechcla: the run ")
    assert "(status interrupted)" in error
    assert "Traceback" not in error
    status.write_text(held)
    record = read_sealed(copied / "record.json")
    assert record is not None
    del record["digest"]
    write_sealed(copied / "record.json", record | {"schema": 2})
    with pytest.raises(MechclaError, match=r"is a run of schema 2.*this one reads schema 1"):
        mechcla.compare_runs([whole, copied])
    assert json.loads((copied / "record.json").read_text())["schema"] == 2
    config = copied / "config.yaml"
    assert main(["--config", str(config), "--out", str(copied)]) == 2
    assert "schema 2" in capsys.readouterr().err


def without(folder: Path, condition: str, copy: Path) -> Path:
    """A copy of a run whose record has not a condition."""
    path = Path(shutil.copytree(folder, copy)) / "conditions.json"
    held = read_sealed(path)
    assert held is not None
    del held["conditions"][condition], held["digest"]
    write_sealed(path, held)
    return copy


def test_a_run_that_lacks_a_condition_is_said(folders, tmp_path):
    again = shutil.copytree(folders[0], tmp_path / "again")
    lacks = without(folders[0], "SUR", tmp_path / "gemma-3-270m-tuned-v20")
    found = mechcla.compare_runs([folders[0], again, lacks])
    assert {r["run"] for r in found.rows().where(condition="SUR")} == {"whole", "again"}
    assert [dict(r) for r in found.left_out] == [
        {
            "run": lacks.name,
            "condition": "SUR",
            "language": "",
            "kind": "",
            "items": 0,
            "why": f"{lacks.name!r} has no such condition",
        }
    ]
    said = str(found).splitlines()
    assert f"left out of {lacks.name}: SUR; {lacks.name!r} has no such condition" in said
    # each column stands where its head does, two spaces from the one before it
    head = next(line for line in said if line.startswith("condition"))
    places = [head.index(w) for w in ("condition", "metric", "run", "value", "difference", "p")][1:]
    rows = said[said.index(head) + 1 :][: len(found.rows().where(language="all"))]
    assert any(lacks.name in line for line in rows)
    for line in rows:
        for place in places:
            assert line.ljust(200)[place - 2 : place] == "  "
            assert line.ljust(200)[place] != " " or len(line) < place


def test_a_figure_is_in_the_comparisons_own_measure(folders):
    found = mechcla.compare_runs(folders, "accuracy")
    figure = mechcla.plots.compared(found)
    assert figure.axes[0].get_xlabel() == "transfer (accuracy, test)"
    assert figure.axes[0].get_ylabel() == "localization (accuracy, test)"
    with pytest.raises(MechclaError, match="measure='share', but the comparison is in 'accuracy'"):
        mechcla.plots.compared(found, "share")


def test_a_metric_by_name_on_the_command_line(folders, tmp_path):
    arguments = ["compare", *map(str, folders), "--out", str(tmp_path), "--resamples", "100"]
    assert command([*arguments, "--metrics", "english_bias,collision_aware_bias"]) == 0
    with (tmp_path / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    # These items do not say who shares an answer, so the two metrics are one.
    values = [
        [r["value"] for r in rows if r["metric"] == name]
        for name in ("english_bias", "collision_aware_bias")
    ]
    assert len(values[0]) > 0
    assert values[0] == values[1]
    assert command([*arguments, "--metrics", "english_bia"]) == 2
