"""The item schema: round trips, selections, and messages that show the user's own line."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

import mechcla
from mechcla.errors import MechclaError, nearest
from mechcla.items.item import Item
from mechcla.items.item_set import ItemSet, read_jsonl
from tests.conftest import cultural, universal


def test_jsonl_gives_back_every_item(tmp_path, small_items):
    small_items.to_jsonl(tmp_path / "i.jsonl")
    again = read_jsonl(tmp_path / "i.jsonl")
    assert again == small_items
    assert again.digest == small_items.digest
    assert mechcla.load_items(tmp_path / "i.jsonl") == small_items
    pd.DataFrame([i.to_dict() for i in small_items]).to_parquet(tmp_path / "i.parquet")
    assert mechcla.load_items(tmp_path / "i.parquet") == small_items


def test_selections_are_item_sets(small_items):
    assert len(small_items.universal) + len(small_items.cultural) == len(small_items)
    assert len(small_items.dev) == len(small_items.test) == len(small_items) // 2
    assert small_items.language("es").languages == ("es",)
    assert isinstance(small_items[:3], ItemSet)
    assert small_items.universal.dev[0].right == 0
    assert "12 universal, 12 cultural" in repr(small_items)


def test_the_digest_sees_every_field(small_items):
    item = small_items[0]
    for change in ({"separator": ""}, {"topic": "x"}, {"prompt": item.prompt + "!"}):
        other = ItemSet((Item(**{**vars(item), **change}), *small_items.items[1:]))
        assert other.digest != small_items.digest


def test_a_broken_line_is_named_and_shown(tmp_path, small_items):
    good = json.dumps(small_items[0].to_dict())
    path = tmp_path / "bad.jsonl"
    for line, message in [
        ('{"id": "x", ', r'bad.jsonl, line 2 is not JSON .*\{"id": "x", '),
        ("[1]", "line 2: an item is a JSON object, not list"),
        (
            good.replace('"prompt"', '"promt"'),
            "line 2: .* unknown field 'promt'; did you mean 'prompt'",
        ),
        (
            good.replace('"kind": "universal"', '"kind": "univesal"'),
            "line 2: .*'kind' is 'univesal'; did you mean 'universal'",
        ),
        (
            good.replace('"role": "correct"', '"role": "wrong"'),
            "expected at least 2 candidates and exactly 1 of them",
        ),
        (good, "stands twice"),
    ]:
        path.write_text(good + "\n" + line + "\n", encoding="utf-8")
        with pytest.raises(MechclaError, match=message):
            read_jsonl(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(MechclaError, match="holds no items"):
        read_jsonl(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MechclaError, match="not UTF-8 at byte 0"):
        read_jsonl(path)


def test_an_id_cannot_be_in_two_splits():
    with pytest.raises(MechclaError, match="the split belongs to the id"):
        ItemSet(
            (universal("a", "en", "p", "x", "y"), universal("a", "es", "p", "x", "y", split="test"))
        )


def test_unknown_names_come_with_the_nearest(small_items):
    with pytest.raises(MechclaError, match="no items in language 'ess'; did you mean 'es'"):
        small_items.language("ess")
    with pytest.raises(MechclaError, match="the 'demo' items have no language 'kr'"):
        mechcla.load_items("demo", languages=["kr"])
    with pytest.raises(
        MechclaError, match="no source and no file is named 'demoo'; did you mean 'demo'"
    ):
        mechcla.load_items("demoo")
    assert nearest("zz", ["a", "b"]) == "known: a, b"


def test_an_explicit_prompt_that_is_missing_is_named():
    item = cultural("c", "es", "ES", "Bebemos", "Vivo en España.", "vino", "tea", "té", "agua")
    assert item.prompt_text("explicit") == "Vivo en España. Bebemos"
    assert item.prompt_text("us") == "Vivo en Estados Unidos. Bebemos"
    with pytest.raises(
        MechclaError, match="unknown prompt form 'explicitt'; did you mean 'explicit'"
    ):
        item.prompt_text("explicitt")
    bare = Item(**{**vars(item), "prompt_explicit": None})
    with pytest.raises(MechclaError, match=r"item 'c' \(es\) has no 'prompt_explicit'"):
        bare.prompt_text("explicit")
    with pytest.raises(MechclaError, match=r"has no 'prompt_us', which prompt='us' scores"):
        replace(item, prompt_us=None).prompt_text("us")


def test_a_source_is_one_function_and_one_registration(small_items):
    mechcla.register_source("mine", lambda: small_items)
    assert mechcla.load_items("mine", languages=["es"]) == small_items
    with pytest.raises(MechclaError, match="registered already"):
        mechcla.register_source("mine", lambda: small_items)
