"""Damaged files of a run: named and made again, or refused in one message; nothing outside its
folder.

The oracle is an unbroken run: every fault must end in its tables, choices, vectors and cells, to
the bit.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

import mechcla
from mechcla.items.item import Item
from mechcla.items.item_set import ItemSet
from mechcla.runs.folder import CELLS
from mechcla.runs.store import Store
from mechcla.scoring.scores import Scores
from tests.runs.harness import cut, empty, flip, hidden, results, sweep

pytestmark = pytest.mark.slow  # a sweep each


def cells(out: Path) -> list[Path]:
    return sorted((out / "cells").rglob("*.parquet"))


def short(path: Path, _: random.Random) -> None:
    scores = Scores.from_parquet(path)
    Scores(scores.rows[:-1], scores.settings).to_parquet(path)


def test_damaged_cells_are_named_and_only_they_run_again(unbroken, copied):
    out, chance = copied(), random.Random(0)
    chosen = chance.sample(cells(out), 8)
    others = {p: p.stat().st_mtime_ns for p in cells(out) if p not in chosen}
    for path, damage in zip(chosen, (flip, cut, empty, short, flip, flip), strict=False):
        damage(path, chance)
    one, two = (path.read_bytes() for path in chosen[6:])
    chosen[6].write_bytes(two)
    chosen[7].write_bytes(one)
    ended = sweep(unbroken.arguments, out)
    assert ended.code == 0, ended.said
    for path in chosen:
        assert f"{str(path)!r} is damaged" in ended.said
    assert len(ended.messages) == len(chosen)
    assert results(out) == unbroken.right
    assert {p: p.stat().st_mtime_ns for p in others} == others
    assert not hidden(out)


def test_a_damaged_vector_file_is_named_and_made_again_and_the_cells_stay(unbroken, copied):
    for name, damage in (("en", flip), ("loc", cut), ("loc_us", empty)):
        out = copied()
        before = {p: p.stat().st_mtime_ns for p in cells(out)}
        damage(out / f"vectors/{name}.safetensors", random.Random(1))
        ended = sweep(unbroken.arguments, out)
        assert ended.code == 0, ended.said
        (message,) = ended.messages
        assert f"vectors/{name}.safetensors" in message
        assert message.endswith("they are made again")
        assert results(out) == unbroken.right
        assert {p: p.stat().st_mtime_ns for p in cells(out)} == before


def test_two_vector_files_swapped_are_made_again(unbroken, copied):
    out = copied()
    (out / "vectors/en.safetensors").rename(out / "vectors/held")
    (out / "vectors/loc.safetensors").rename(out / "vectors/en.safetensors")
    (out / "vectors/held").rename(out / "vectors/loc.safetensors")
    ended = sweep(unbroken.arguments, out)
    assert ended.code == 0
    assert len([m for m in ended.messages if "belong elsewhere" in m]) == 2
    assert results(out) == unbroken.right


def _edited(path: Path, with_digest: bool) -> str:
    held = json.loads(path.read_text())
    if "choice" in held:
        held["choice"]["methods"]["EN"]["es"]["en_layer"] = 3
    else:
        held["chosen"]["EN"]["es"]["en_layer"] = 3
    if not with_digest:
        del held["digest"]
    return json.dumps(held)


@pytest.mark.parametrize("name", ["record.json", "frozen.json", "selection.json", "config.yaml"])
def test_a_damaged_record_or_choice_is_one_message(name, unbroken, copied):
    out = copied()
    whole = (out / name).read_text()
    texts = ["", "{", "{}", "[1]", whole[:200], whole[:-3], whole.replace("0", "1", 1)]
    if name in ("frozen.json", "selection.json"):
        texts += [_edited(out / name, True), _edited(out / name, False)]
    for text in texts:
        (out / name).write_text(text)
        before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        ended = sweep(unbroken.arguments, out)
        assert ended.one_message, (text[:40], ended.said)
        assert name in ended.messages[0]
        assert str(out) in ended.messages[0]
        assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    (out / name).write_text(whole)  # put a copy back
    assert sweep(unbroken.arguments, out).code == 0
    assert results(out) == unbroken.right


def test_damaged_items_tables_and_figures_are_written_again(unbroken, copied):
    out, chance = copied(), random.Random(3)
    again = ["items.jsonl", "summary.csv", "summary.json", "tests.csv", "figures/plane.json"]
    items = (out / "items.jsonl").read_bytes()
    for name in again:
        flip(out / name, chance)
    (out / "config.yaml").unlink()
    ended = sweep(unbroken.arguments, out)
    assert ended.code == 0
    assert [m for m in ended.messages if "items.jsonl" in m and "written again" in m]
    assert results(out) == unbroken.right
    for name in (*again[1:], "config.yaml"):
        assert (out / name).read_bytes() == (unbroken.folder / name).read_bytes(), name
    assert (out / "items.jsonl").read_bytes() == items


def test_a_cell_rewritten_under_its_digests_is_still_bound_to_its_place(unbroken, copied):
    """A whole cell of another language or method, under this one's name: its bytes are not this
    place's.
    """
    out = copied()
    one, two = (next((out / "cells/test" / k).glob("unsteered-universal-*")) for k in ("en", "es"))
    one.write_bytes(two.read_bytes())
    ended = sweep(unbroken.arguments, out)
    assert str(one) in ended.said
    assert results(out) == unbroken.right


def outside(items: ItemSet, language: str) -> ItemSet:
    """The items with another code for Spanish; past Item's own check, if it has one."""

    def renamed(item: Item) -> Item:
        if item.language == "en":
            return item
        copy = replace(item)
        object.__setattr__(copy, "language", language)
        return copy

    return ItemSet(tuple(map(renamed, items)))


@pytest.mark.parametrize(
    "language", ["../../../../outside", "/outside-of-it", "..", "x" * 400, "a/b"]
)
def test_no_language_is_a_way_out_of_the_folder(language, tmp_path, small_items, tiny):
    settings = {"layers": [0, 2], "restore": False, "controls": False, "try_positions": []}
    where = tmp_path / "a/b/c/d/run"
    try:
        mechcla.configure(tiny, outside(small_items, language), out=str(where), **settings)
    except mechcla.MechclaError:  # refused as no language: then nothing is written
        assert not where.exists()
        return
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(cells(where)) > 10
    assert all(p.resolve().is_relative_to(where.resolve()) for p in written)
    assert not Path("/outside-of-it").exists()


def test_any_text_of_a_cell_stays_inside(tmp_path):
    with Store.open(tmp_path / "run", {}, {"code": "x"}) as store:
        inside = (tmp_path / "run" / CELLS).resolve()
        seen = set()
        for text in ("es", "..", "../../x", "/etc/passwd", "", "a\0b", "~", "ü" * 300, "\ud800"):
            path = store.cell_path(text, text, text, {})
            assert path.resolve().is_relative_to(inside)
            assert len(path.parent.parts) == len(inside.parts) + 2
            assert all(len(part) < 200 for part in path.parts)
            store.write(path, Scores((), {"text": "x"}))
            assert store.read(path) == Scores((), {"text": "x"})
            seen.add(path)
        assert len(seen) == 9
