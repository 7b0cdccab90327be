"""Parts over different languages, joined: the run that one sweep over all of them makes, to the
last bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import mechcla
from mechcla.__main__ import main
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.runs.parts import read_parts
from mechcla.storage import write_sealed
from mechcla.sweep.config import make
from mechcla.sweep.merge import merge_runs
from mechcla.sweep.sweep import run_config
from tests.conftest import tiny_items
from tests.runs.harness import results

pytestmark = pytest.mark.slow  # several sweeps each


def three_languages() -> ItemSet:
    """The tiny items, and those of two more languages, of which some are the same questions."""
    items = tiny_items()
    more = [
        replace(
            item,
            language=language,
            country=language.upper() if item.country else None,
            id=item.id.replace("c2", cultural),
            prompt=f"{item.prompt} {word}",
            prompt_explicit=item.prompt_explicit and f"{intro} {item.prompt} {word}",
        )
        for language, cultural, word, intro in (
            ("pt", "c9", "já", "Vivo em Portugal."),
            ("fr", "c8", "ici", "Je vis en France."),
        )
        for item in items.language("es")
    ]
    return ItemSet((*items, *more))


def two_languages() -> ItemSet:
    """The same without French."""
    return ItemSet(tuple(item for item in three_languages() if item.language != "fr"))


Sweep = Callable[..., Path]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, tiny_folders: dict[str, Path]) -> Sweep:
    """Runs a sweep of a tiny model over some languages, into a folder of this name."""
    base = tmp_path_factory.mktemp("parts")
    three_languages().to_jsonl(base / "items.jsonl")

    def run(name: str, languages: list[str], **settings: object) -> Path:
        given = {
            **{"model": str(tiny_folders["llama"]), "items": str(base / "items.jsonl")},
            **{
                "device": "cpu",
                "layers": [0, 2],
                "restore": False,
                "resamples": 100,
                "figures": False,
                "gated": True,
                "threads": 1,
            },
            **{"languages": languages, "out": str(base / name), **settings},
        }
        run_config(make(given), say=lambda text: None)
        return base / name

    return run


@pytest.fixture(scope="module")
def parts(sweep: Sweep) -> list[Path]:
    return [sweep("es", ["es"]), sweep("pt", ["pt"])]


@pytest.fixture(scope="module")
def merged(parts: list[Path]) -> Path:
    out = parts[0].parent / "merged"
    assert main(["merge", *map(str, parts), "--out", str(out)]) == 0
    return out


def test_parts_join_into_the_run_that_one_sweep_makes(sweep: Sweep, merged: Path) -> None:
    whole = sweep("whole", ["es", "pt"], apart=True)
    assert results(merged) == results(whole)
    for name in ("config.yaml", "conditions.json", "figures/plane.json", "items.jsonl"):
        assert (merged / name).read_bytes() == (whole / name).read_bytes(), name
    assert mechcla.read_run(merged).record["identity"] == mechcla.read_run(whole).record["identity"]
    run = mechcla.read_run(merged)
    assert {"LOC other_country", "LOC us_country", "SUR random"} <= set(run.conditions)
    assert run.summary.where(language="all")
    assert run.tests.where(language="pt")


def test_the_cells_of_the_parts_are_in_the_joined_run(parts: list[Path], merged: Path) -> None:
    """Which also says that one language's numbers do not lean on what another run beside it."""
    joined = mechcla.read_run(merged)
    for folder, language in zip(parts, ("es", "pt"), strict=True):
        run = mechcla.read_run(folder)
        assert {f: by[language] for f, by in run.choice.items()} == {
            f: by[language] for f, by in joined.choice.items()
        }
        for condition in run.conditions:
            own = run.scores(condition).where(language=language)
            assert own.rows == joined.scores(condition).where(language=language).rows
        for name, vectors in run.vectors.items():
            assert vectors[language].equal(joined.vectors[name][language]), name


def test_merging_again_does_nothing_more_and_a_sweep_goes_on_there(
    parts: list[Path], merged: Path
) -> None:
    before = results(merged)
    merge_runs(parts, merged, say=lambda text: None)
    assert main(["sweep", "--config", str(merged / "config.yaml"), "--out", str(merged)]) == 0
    assert results(merged) == before


def test_items_that_are_elsewhere_are_taken_from_the_parts(
    parts: list[Path], merged: Path, tmp_path: Path
) -> None:
    items = parts[0].parent / "items.jsonl"
    items.rename(tmp_path / "away.jsonl")
    try:
        merge_runs(parts, tmp_path / "out", say=lambda text: None)
        config = tmp_path / "out/config.yaml"
        assert main(["sweep", "--config", str(config), "--out", str(tmp_path / "out")]) == 0
    finally:
        (tmp_path / "away.jsonl").rename(items)
    tables = ("summary.csv", "tests.csv", "arms.csv", "contrast.csv")
    for name in tables:
        assert (tmp_path / "out" / name).read_bytes() == (merged / name).read_bytes(), name


def refused(folders: list[Path], out: Path) -> str:
    with pytest.raises(MechclaError) as error:
        merge_runs(folders, out, say=lambda text: None)
    assert not out.exists()
    return str(error.value)


def test_what_is_no_part_is_refused_by_name(parts: list[Path], tmp_path: Path) -> None:
    es, pt = parts
    out = tmp_path / "out"
    assert "two or more" in refused([es], out)
    assert "holds no run" in refused([es, tmp_path], out)
    assert f"both {str(es)!r} and" in refused([es, es], out)
    with pytest.raises(MechclaError, match="one of the parts"):
        merge_runs(parts, es)
    other = changed(pt, tmp_path / "other", config={"seed": 7, "controls": False})
    said = refused([es, other], out)
    assert "seed: 0 and 7" in said
    assert "controls: True and False" in said
    both = [changed(p, tmp_path / f"{p.name}p", config={"choose": "pooled"}) for p in parts]
    assert "--choose pooled" in refused(both, out)


def test_parts_may_name_other_devices_of_one_type(parts: list[Path], tmp_path: Path) -> None:
    es, pt = parts
    other = changed(pt, tmp_path / "none", config={"device": None})
    for folders in ([es, other], [other, es]):
        assert read_parts(folders).settings["device"] == "cpu"
    gpus = [
        changed(
            p, tmp_path / f"gpu {n}", config={"device": f"cuda:{n}"}, identity={"device": "cuda"}
        )
        for n, p in enumerate(parts)
    ]
    assert read_parts(gpus).settings["device"] == "cuda"
    assert read_parts(parts).settings["device"] == "cpu"
    spread = {"device": None, "device_map": "auto"}
    mapped = changed(es, tmp_path / "mapped", config=spread, identity={"device": "cuda"})
    assert read_parts([mapped, gpus[1]]).settings["device"] is None
    assert "device: 'cuda' and 'cpu'" in refused([gpus[0], pt], tmp_path / "out")


def test_batches_that_two_gpus_measured_are_refused_with_what_to_do(
    parts: list[Path], tmp_path: Path
) -> None:
    sizes = [
        changed(p, tmp_path / p.name, config={"max_tokens": n}, identity={"device": "cuda"})
        for p, n in zip(parts, (8_192, 4_096), strict=True)
    ]
    said = refused(sizes, tmp_path / "out")
    assert "max_tokens: 8192 and 4096" in said
    assert "give --max-tokens 4096 to both" in said
    on_cpu = changed(parts[1], tmp_path / "cpu", config={"max_tokens": 4_096})
    assert "was measured" not in refused([parts[0], on_cpu], tmp_path / "out")


def test_a_part_of_languages_that_were_read_together_is_joined_with_a_word(
    sweep: Sweep, parts: list[Path], merged: Path, tmp_path: Path
) -> None:
    """`exact` is said of parts of one language, and of those that were made apart."""
    joined: list[str] = []
    merge_runs(parts, merged, say=joined.append)
    assert not any("last digits" in text for text in joined)
    both = sweep("together", ["es", "fr"])
    assert not read_parts([both, parts[1]]).exact
    said: list[str] = []
    run = merge_runs([both, parts[1]], tmp_path / "out", say=said.append)
    assert sum("may differ from the joined one in its last digits" in text for text in said) == 1
    assert run.config["languages"] == ["es", "fr", "pt"]


def changed(folder: Path, to: Path, **parts: dict[str, object]) -> Path:
    """A copy of a run whose record says otherwise."""
    shutil.copytree(folder, to)
    record = {k: v for k, v in mechcla.read_run(folder).record.items() if k != "digest"}
    record |= {name: record[name] | values for name, values in parts.items()}
    write_sealed(to / "record.json", record)
    return to


def test_parts_that_are_not_whole_or_of_another_identity_are_refused(
    parts: list[Path], tmp_path: Path
) -> None:
    es, pt = parts
    out, copy = tmp_path / "out", tmp_path / "pt"
    shutil.copytree(pt, copy)
    write_sealed(copy / "status.json", {"schema": 1, "status": "interrupted", "message": ""})
    assert "not complete (status interrupted)" in refused([es, copy], out)
    shutil.rmtree(copy)
    shutil.copytree(pt, copy)
    cell = next((copy / "cells/dev/pt").glob("*.parquet"))
    cell.write_bytes(cell.read_bytes()[:-1])
    assert f"damaged: cells/dev/pt/{cell.name}" in refused([es, copy], out)
    for key in ("code", "model", "torch"):
        other = changed(pt, tmp_path / key, identity={key: "other"})
        assert f"{key}: " in refused([es, other], out)
    other = changed(pt, tmp_path / "versions", versions={"scipy": "0"})
    assert "scipy: " in refused([es, other], out)
    here = [changed(p, tmp_path / f"{p.name} then", identity={"code": "then"}) for p in parts]
    assert "code: 'then' and" in refused(here, out)


def test_items_that_changed_since_are_refused(parts: list[Path], tmp_path: Path) -> None:
    items = parts[0].parent / "items.jsonl"
    text = items.read_text(encoding="utf-8")
    lines = text.splitlines()
    lines.remove([line for line in lines if '"pt"' in line][-1])  # French is in no part
    items.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        assert "no longer those of the part" in refused(parts, tmp_path / "out")
    finally:
        items.write_text(text, encoding="utf-8")
