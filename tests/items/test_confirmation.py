"""Confirmation items: their own split, and one look under one frozen choice."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import mechcla
from data.confirm import (
    build,
    confirm_facts,
    outputs,
    shared_answers,
    shared_entities,
)
from data.cultural import read_concepts
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.items.study import LOOK, Study
from mechcla.sources.demo import confirm_items, demo_items

DEMO_DIGEST = "dc04cb31a95b6b618a0aa55c77723454b5cd5c1d95b2dabe145566466f5137fd"


@pytest.fixture
def with_confirm(small_items: ItemSet) -> ItemSet:
    new = tuple(replace(i, id=f"new {i.id}", split="confirm") for i in small_items.test)
    return small_items + ItemSet(new)


def test_the_demo_items_are_what_they_were_and_hold_no_confirmation_item() -> None:
    demo, confirm = mechcla.load_items("demo"), mechcla.load_items("confirm")
    assert demo.digest == DEMO_DIGEST
    assert not len(demo.confirm)
    assert confirm == confirm.confirm == confirm_items()
    assert not len(confirm.dev) + len(confirm.test)
    assert not set(demo.ids) & set(confirm.ids)
    both = demo + confirm
    assert (both.dev, both.test, both.confirm) == (demo.dev, demo.test, confirm)


def test_what_is_committed_is_what_the_builder_makes_and_lints_clean() -> None:
    texts, built = outputs()
    assert built.faults == ()
    for path, text in texts.items():
        assert path.read_text("utf-8") == text, f"{path}: run python data/confirm.py"
    assert built.items == confirm_items()
    assert mechcla.lint(built.items).clean


def test_the_set_is_as_large_as_it_should_be_and_formed_as_the_demo() -> None:
    demo, items = demo_items(), confirm_items()
    assert len(items.universal.ids) >= 120
    for lang in demo.languages:
        assert items.universal.language(lang).ids == items.universal.language("en").ids
        assert len(items.cultural.language(lang)) >= 60
    for item in items.cultural:
        roles = [c.role for c in item.candidates]
        assert len(roles) == 4
        assert roles.count("english") == (item.language != "en")
        assert item.prompt_explicit.endswith(item.prompt)
    assert {len(i.candidates) for i in items.universal} == {5}


def test_no_answer_of_a_culture_and_no_universal_candidate_is_the_demo_s() -> None:
    """Written anew, over the committed files."""
    answers = {
        (i.language, i.country, c.text.casefold())
        for i in demo_items().cultural
        for c in i.candidates
        if c.role == "local"
    }
    for item in confirm_items().cultural:
        right = item.candidates[item.right].text.casefold()
        assert (item.language, item.country, right) not in answers, item.label
    old = {(i.language, c.text.casefold()) for i in demo_items() for c in i.candidates}
    for item in confirm_items().universal:
        for c in item.candidates:
            assert (item.language, c.text.casefold()) not in old, item.label


def test_a_shared_answer_and_a_shared_entity_would_be_found() -> None:
    from data.build import CONCEPTS

    old = read_concepts(CONCEPTS)[0]
    assert any(f"as in {old['id']}" in fault for fault in shared_answers([old]))
    fact = confirm_facts()[0]
    about = dict(fact.about) | {"es": "Lima"}
    assert any("names 'lima' in es" in f for f in shared_entities((replace(fact, about=about),)))
    trained = dict(fact.about) | {"es": "helio"}
    found = shared_entities((replace(fact, about=trained),))
    assert any("is in the training facts" in f for f in found)
    assert shared_entities((fact,)) == []


def test_a_build_with_a_concept_of_the_demo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from data.build import CONCEPTS

    monkeypatch.setattr("data.confirm.read_concepts", lambda _: read_concepts(CONCEPTS))
    built = build()
    assert not len(built.items)
    assert any("is the id of a demo item" in fault for fault in built.faults)


def test_confirm_opens_once_a_choice_is_frozen_and_records_the_look(with_confirm, tmp_path) -> None:
    study = Study(with_confirm)
    with pytest.raises(MechclaError, match="no choice is frozen yet"):
        study.confirm(tmp_path)
    assert not (tmp_path / LOOK).exists()
    record = study.freeze({"layer": 9})
    assert study.confirm(tmp_path / "run") == with_confirm.confirm
    look = json.loads((tmp_path / "run" / LOOK).read_text("utf-8"))
    assert look["frozen"] == record.digest
    assert look["choice"] == {"layer": 9}
    assert look["confirm"]["digest"] == with_confirm.confirm.digest
    # The same look again, in a new process as it were: a run that goes on.
    again = Study(with_confirm)
    again.freeze({"layer": 9})
    assert again.confirm(tmp_path / "run") == with_confirm.confirm


def test_a_second_look_under_another_choice_is_refused(with_confirm, tmp_path) -> None:
    first = Study(with_confirm)
    first.freeze({"layer": 9})
    first.confirm(tmp_path)
    before = (tmp_path / LOOK).read_bytes()
    second = Study(with_confirm)
    second.freeze({"layer": 10})
    with pytest.raises(MechclaError) as caught:
        second.confirm(tmp_path)
    message = str(caught.value)
    for part in ('"layer": 9', '"layer": 10', "looked at before", "needs new items"):
        assert part in message
    assert (tmp_path / LOOK).read_bytes() == before


def test_the_page_s_block_prints_what_the_page_shows(tmp_path, monkeypatch, capsys) -> None:
    page = (Path(__file__).parents[2] / "docs" / "confirmation.md").read_text("utf-8")
    [(code, shown)] = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/confirmation.md", "exec"), {})
    assert capsys.readouterr().out == shown
    assert (tmp_path / "runs" / "my-confirmation" / LOOK).exists()


def test_other_items_a_damaged_record_and_no_items_are_named(
    with_confirm, small_items, tmp_path
) -> None:
    study = Study(with_confirm)
    study.freeze({"layer": 9})
    study.confirm(tmp_path)
    fewer = Study(small_items + with_confirm.confirm.language("es"))
    fewer.freeze({"layer": 9})
    with pytest.raises(MechclaError, match="records a look at other items"):
        fewer.confirm(tmp_path)
    text = (tmp_path / LOOK).read_text("utf-8")
    (tmp_path / LOOK).write_text(text.replace('"layer": 9', '"layer": 8'), "utf-8")
    with pytest.raises(MechclaError, match="is damaged"):
        study.confirm(tmp_path)
    none = Study(small_items)
    none.freeze({"layer": 9})
    with pytest.raises(MechclaError, match="none of these items is of split 'confirm'"):
        none.confirm(tmp_path)
