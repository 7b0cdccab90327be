"""Items that lie in a file: the same as in memory, whatever is asked of them, and refused where a
line, an id or the file itself is not as it was.
"""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

import mechcla
from analyses.many_languages import made_up
from mechcla.errors import MechclaError
from mechcla.items.item import Item
from mechcla.items.item_lines import open_lines
from mechcla.items.item_set import ItemSet, read_jsonl


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "items.jsonl"
    made_up(["es", "ko"], 3).to_jsonl(path)
    return path


def test_every_selection_is_the_one_that_memory_gives(file: Path) -> None:
    held, lines = read_jsonl(file), mechcla.load_items(file, stream=True)
    assert lines.streamed
    assert not held.streamed
    assert len(lines) == len(held)
    assert repr(lines) == repr(held)
    for select in (
        lambda x: x,
        lambda x: x.dev.universal,
        lambda x: x.test.cultural.language("ko", "en"),
        lambda x: x.of("es", "cultural", "test"),
        lambda x: x.of("fa"),
        lambda x: x.where(lambda i: i.id.endswith("2")).dev,
        lambda x: x.at([5, 0, 3]),
        lambda x: x[2:9:3],
        lambda x: x.dev + x.test,
    ):
        one, two = select(held), select(lines)
        assert tuple(two) == tuple(one)
        assert two.digest == one.digest
        assert (two.languages, two.ids, two.groups) == (one.languages, one.ids, one.groups)
        assert two.held.items == tuple(one)
    assert lines[-1] == held[-1]
    assert lines.dev.language("es")[1] == held.dev.language("es")[1]


def test_what_is_read_is_held_no_longer_than_it_is_used(file: Path) -> None:
    lines = mechcla.load_items(file, ["es"], stream=True)
    gc.collect()
    before = sum(type(one) is Item for one in gc.get_objects())
    most = 0
    for _ in lines.cultural.test:
        most = max(most, sum(type(one) is Item for one in gc.get_objects()) - before)
    assert most <= 2  # the one that is read, and the one before it


def test_blank_lines_a_byte_order_mark_and_no_last_line_break_are_no_items(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_bytes(b"\xef\xbb\xbf" + ("\n" + text.rstrip().replace("\n", "\r\n\n")).encode())
    assert tuple(open_lines(file)) == tuple(read_jsonl(file))
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert tuple(open_lines(file)) == tuple(read_jsonl(file))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "universl"}, "line 5: .*'universal'"),
        ({"id": "universal0"}, "line 5: .*stands twice, first at line 1"),
        ({"split": "test"}, "is in split 'dev' here and in 'test' at line 5"),
    ],
)
def test_a_faulty_line_is_named(file: Path, change: dict[str, str], said: str) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    one = rows[0] if "id" in change else rows[4]
    rows[4] = one | change
    if "split" in change:  # the same question in the other languages stays in dev
        assert rows[4]["id"] in {row["id"] for row in rows[5:]}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(MechclaError, match=said):
        open_lines(file)
    with pytest.raises(MechclaError):
        read_jsonl(file)


def test_a_file_that_changed_or_is_gone_is_refused(file: Path) -> None:
    lines = ItemSet(open_lines(file))
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(MechclaError, match="was changed after its items were opened"):
        lines.digest  # noqa: B018
    file.unlink()
    with pytest.raises(MechclaError, match="cannot read items"):
        next(iter(lines))
    with pytest.raises(MechclaError, match="cannot read items"):
        open_lines(file)


def test_what_cannot_be_read_as_needed_is_refused(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(MechclaError, match="holds no items"):
        mechcla.load_items(tmp_path / "empty.jsonl", stream=True)
    (tmp_path / "a.csv").write_text("id\n", encoding="utf-8")
    for path, more in ((tmp_path / "a.csv", {}), (file, {"bad_rows": "skip"}), (tmp_path, {})):
        with pytest.raises(MechclaError, match=r"stream reads one \.jsonl file"):
            mechcla.load_items(path, stream=True, **more)
