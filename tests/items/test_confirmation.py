"""Confirmation items: their own split, and one look under one frozen choice."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import mechcla
from data.align import bare
from data.confirm import (
    CITY,
    SET_1,
    SET_2,
    SETS,
    ConfirmSet,
    build,
    confirm_facts,
    earlier_items,
    main,
    outputs,
    shared_answers,
    shared_entities,
)
from data.cultural import read_concepts
from data.universal import facts
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.items.study import LOOK, Study
from mechcla.sources.demo import confirm_2_items, confirm_items, demo_items

DEMO_DIGEST = "dc04cb31a95b6b618a0aa55c77723454b5cd5c1d95b2dabe145566466f5137fd"
FIRST_DIGEST = (
    "80ee4ae3b8f8d75ef610c79b4951416a247619b85e25cdacfe39fd712f26b119"  # frozen, and scored
)
each_set = pytest.mark.parametrize("made_of", SETS, ids=lambda one: one.name)


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


def test_the_second_set_is_new_beside_the_demo_and_the_first_which_is_what_it_was() -> None:
    demo, first, second = (mechcla.load_items(n) for n in ("demo", "confirm", "confirm-2"))
    assert first.digest == FIRST_DIGEST
    assert second == second.confirm == confirm_2_items()
    assert not set(second.ids) & {*demo.ids, *first.ids}
    both = demo + second
    assert (both.dev, both.test, both.confirm) == (demo.dev, demo.test, second)


def test_a_study_freezes_a_choice_and_opens_the_second_set(tmp_path) -> None:
    second = mechcla.load_items("confirm-2")
    study = Study(mechcla.load_items("demo") + second)
    with pytest.raises(MechclaError, match="no choice is frozen yet"):
        study.confirm(tmp_path)
    study.freeze({"layer": 9})
    assert study.confirm(tmp_path) == second
    look = json.loads((tmp_path / LOOK).read_text("utf-8"))
    assert look["confirm"] == {"digest": second.digest, "items": len(second)}


@each_set
def test_what_is_committed_is_what_the_builder_makes_and_lints_clean(made_of: ConfirmSet) -> None:
    texts, built = outputs(made_of)
    assert built.faults == ()
    for path, text in texts.items():
        assert path.read_text("utf-8") == text, f"{path}: run python data/confirm.py"
    assert built.items == mechcla.load_items(made_of.name)
    assert mechcla.lint(built.items).clean


def test_check_reads_both_sets_and_names_the_files_that_differ(monkeypatch, capsys) -> None:
    read, stale = Path.read_bytes, [one.items / "el.jsonl" for one in SETS]
    monkeypatch.setattr(Path, "read_bytes", lambda p: b"" if p in stale else read(p))
    assert main(["--check"]) == 1
    shown = [f"{path} differs from what data/confirm.py makes" for path in stale]
    assert capsys.readouterr().out.splitlines() == shown


@each_set
def test_the_set_is_as_large_as_it_should_be_and_formed_as_the_demo(made_of: ConfirmSet) -> None:
    demo, items = demo_items(), mechcla.load_items(made_of.name)
    assert len(items.universal.ids) >= (120 if made_of is SET_1 else 130)
    for lang in demo.languages:
        assert items.universal.language(lang).ids == items.universal.language("en").ids
        assert len(items.cultural.language(lang)) >= 60
    for item in items.cultural:
        roles = [c.role for c in item.candidates]
        assert len(roles) == 4
        assert roles.count("english") == (item.language != "en")
        assert item.prompt_explicit.endswith(item.prompt)
    assert {len(i.candidates) for i in items.universal} == {5}


@each_set
def test_no_answer_of_a_culture_and_no_universal_candidate_is_there_already(
    made_of: ConfirmSet,
) -> None:
    """Written anew, over the committed files. Only cities have candidates that the demo has too."""
    earlier = demo_items() if made_of is SET_1 else demo_items() + confirm_items()
    items = mechcla.load_items(made_of.name)
    answers = {
        (i.language, i.country, c.text.casefold())
        for i in earlier.cultural
        for c in i.candidates
        if c.role == "local"
    }
    for item in items.cultural:
        right = item.candidates[item.right].text.casefold()
        assert (item.language, item.country, right) not in answers, item.label
    old = {(i.language, c.text.casefold()) for i in earlier for c in i.candidates}
    for item in items.universal:
        for c in item.candidates:
            assert item.topic == CITY or (item.language, c.text.casefold()) not in old, item.label


def around(prompt: str, name: str) -> tuple[str, str]:
    """The wording on both sides of a name, without the Korean particle that its sound chooses."""
    before, after = prompt.split(name)
    return before, re.sub(r"^[이가](?= )", "", after)


def test_the_second_set_has_other_cities_in_the_demo_s_words_and_new_relations() -> None:
    second, demo = confirm_2_items().universal, demo_items()
    new = {i.topic for i in second} - {CITY}
    assert len(new) >= 6
    assert not new & {i.topic for i in (*demo.universal, *confirm_items().universal)}
    cities = [fact for fact in confirm_facts(SET_2) if fact.relation == CITY]
    assert 0.4 <= len(cities) / len(second.ids) <= 0.6
    prompts = {(i.language, i.id): i.prompt for i in (*demo, *second)}
    old = next(fact for fact in facts() if fact.relation == CITY)
    for lang in demo.languages:
        earlier = (*demo.language(lang), *confirm_items().language(lang))
        told = " ".join(bare(i.prompt) for i in earlier)
        for fact in cities:
            here = around(prompts[lang, fact.id], fact.about[lang])
            assert here == around(prompts[lang, old.id], old.about[lang])
            name = re.escape(bare(fact.about[lang]))
            assert not re.search(rf"(?<!\w){name}(?!\w)", told), fact.id


def test_a_shared_answer_and_a_shared_entity_would_be_found() -> None:
    from data.build import CONCEPTS

    old = read_concepts(CONCEPTS)[0]
    for made_of in SETS:
        assert any(f"as in {old['id']}" in fault for fault in shared_answers([old], made_of))
        fact = next(f for f in confirm_facts(made_of) if f.relation != CITY)
        about = dict(fact.about) | {"es": "Lima"}
        found = shared_entities((replace(fact, about=about),), made_of)
        assert any("names 'lima' in es" in f for f in found)
        trained = dict(fact.about) | {"es": "helio"}
        found = shared_entities((replace(fact, about=trained),), made_of)
        assert any("is in the training facts" in f for f in found)
        assert shared_entities((fact,), made_of) == []


def test_what_the_first_set_has_would_be_found_in_the_second() -> None:
    old = read_concepts(SET_1.tables / "concepts")[0]
    assert any(f"as in {old['id']}" in fault for fault in shared_answers([old], SET_2))
    assert not any("as in" in fault for fault in shared_answers([old], SET_1))
    fact = next(f for f in confirm_facts(SET_2) if f.relation != CITY)
    about = dict(fact.about) | {"en": "play the Moonlight Sonata"}
    [found] = set(shared_entities((replace(fact, about=about),), SET_2))
    assert "'the moonlight sonata' in en" in found
    assert {i.id for i in earlier_items(SET_2)} == {*demo_items().ids, *confirm_items().ids}


def test_a_city_must_be_new_and_its_answers_need_not_be() -> None:
    fact = next(f for f in confirm_facts(SET_2) if f.relation == CITY)
    assert shared_entities((fact,), SET_2) == []
    for name, why in (("Lyon", "names 'lyon' in es"), ("Sarajevo", "stands in a text of another")):
        changed = replace(fact, about=dict(fact.about) | {"es": name})
        assert any(why in fault for fault in shared_entities((changed,), SET_2))
    leaking = replace(fact, about=dict(fact.about) | {"en": f"New {fact.answers[0]['en']}"})
    assert any("gives its answer away" in f for f in shared_entities((leaking,), SET_2))


@each_set
def test_a_build_with_a_concept_of_the_demo_is_refused(
    made_of: ConfirmSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.build import CONCEPTS

    monkeypatch.setattr("data.confirm.read_concepts", lambda _: read_concepts(CONCEPTS))
    built = build(made_of)
    assert not len(built.items)
    assert any("is the id of an item of the demo" in fault for fault in built.faults)


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
