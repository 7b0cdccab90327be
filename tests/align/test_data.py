"""The shipped facts name nothing that an item names; users' files become facts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import mechcla
from data.align import bare, entities, faults, held_out_names, named, outputs
from data.names import LANGUAGES
from mechcla.align.config import make
from mechcla.align.data import demo_facts
from mechcla.align.loaders import load_data
from mechcla.align.methods import METHODS
from mechcla.items.item_set import read_jsonl
from mechcla.sources.demo import demo_items

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_committed_is_what_the_builder_makes() -> None:
    texts, wrong = outputs()
    assert wrong == []
    for path, text in texts.items():
        assert path.read_text("utf-8") == text, path


def test_no_entity_of_an_item_is_in_a_training_text_in_any_language() -> None:
    """Written anew, over the committed files: whole names, as candidates of items spell them."""
    facts = demo_facts()
    assert len(facts) > 400
    for lang in LANGUAGES:
        names = {bare(c.text) for i in demo_items() if i.language == lang for c in i.candidates}
        text = "\n".join(
            bare(texts[lang]) for f in facts for texts in (f.questions, f.answers, f.sentences)
        )
        for name in names:
            edge = "" if lang == "zh" else r"(?!\w)"
            start = "" if lang == "zh" else r"(?<!\w)"
            assert not re.search(f"{start}{re.escape(name)}{edge}", text), (lang, name)
    assert not [f.id for f in facts if named(f, entities()) or named(f, held_out_names())]


def test_a_fact_about_an_item_s_country_would_be_found() -> None:
    from mechcla.align.data import ParallelFact

    bad = ParallelFact("x", "t", {}, {}, {"es": "Lima está en la costa."})
    assert named(bad, entities())
    assert faults([bad], mechcla.ItemSet(()))


def test_a_held_out_candidate_that_a_demo_item_has_would_be_found() -> None:
    demo = next(i for i in demo_items() if i.kind == "universal" and i.language == "es")
    bad = replace(demo, id="heldout_x", topic="capital", prompt="¿Y esto?")
    assert any("as a demo item has" in fault for fault in faults([], mechcla.ItemSet((bad,))))


def test_korean_particles_and_greek_cases_follow_what_is_before_or_after_them() -> None:
    facts = {fact.id: fact for fact in demo_facts()}
    texts = [
        text
        for fact in facts.values()
        for texts in (fact.questions, fact.sentences)
        for text in texts.values()
    ]
    assert not [text for text in texts if "(를)" in text or "(이)" in text]
    for id_, expected in (
        ("symbol_lithium", "화학자들은 원소 “리튬”을 줄여서 Li라고 씁니다."),
        ("symbol_carbon", "화학자들은 원소 “탄소”를 줄여서 C라고 씁니다."),
        ("symbol_argon", "화학자들은 원소 “아르곤”을 줄여서 Ar이라고 씁니다."),
        ("kind_hand", "“손”이라는 낱말이 가리키는 종류: 신체 부위."),
        ("kind_dog", "“개”라는 낱말이 가리키는 종류: 동물."),
    ):
        assert facts[id_].sentences["ko"] == expected
    assert facts["after_march"].sentences["el"] == "Αμέσως μετά τον Μάρτιο έρχεται ο Απρίλιος."


def test_the_page_s_counts_of_passes_are_those_of_the_shipped_facts() -> None:
    config = make({"method": "english_only"})
    texts = len(METHODS.get("english_only").tasks[0].examples(load_data(config), config))
    drawn = config.steps * config.batch_rows
    said = f"`english_only` draws its {drawn:,} texts from {texts} ({drawn / texts:.1f} passes)"
    assert said in (ROOT / "docs" / "align.md").read_text("utf-8").replace("\n  ", " ")


def test_every_fact_is_there_in_seven_languages_and_worded_otherwise_than_items() -> None:
    prompts = tuple({bare(item.prompt) for item in demo_items()})
    for fact in demo_facts():
        assert set(fact.languages) == set(fact.sentences) == set(LANGUAGES)
        for texts in (fact.questions, fact.sentences):
            assert len(set(texts.values())) == len(LANGUAGES), fact.id
            assert not [t for t in texts.values() if bare(t).startswith(prompts)], fact.id
        assert fact.licence


def test_held_out_items_are_clean_and_pair_across_languages() -> None:
    items = read_jsonl(ROOT / "data" / "align" / "heldout.jsonl")
    assert mechcla.lint(items).clean
    ids = {lang: items.language(lang).ids for lang in LANGUAGES}
    assert all(set(found) == set(ids["en"]) for found in ids.values())
    assert {i.topic for i in items} == {"capital", "symbol", "continent", "element"}
    trained = {f.topic for f in demo_facts()}
    assert {"capital", "symbol"} <= trained
    assert not trained & {"continent", "element"}


@pytest.mark.parametrize("method", list(METHODS.names()))
def test_every_method_finds_examples_in_the_shipped_facts(method: str) -> None:
    config = make({"method": method, "languages": ["es", "ko"]})
    data = load_data(config)
    assert data.languages == ("en", "es", "ko")
    for task in METHODS.get(method).tasks:
        made = task.examples(data, config)
        assert len(made) > 200
        if method == "english_only":
            assert {e.language for e in made} == {"en"}


def test_broken_pairs_have_the_same_texts_and_no_pair_of_the_right_ones() -> None:
    config = make({"method": "broken_pairing", "languages": ["es"]})
    data = load_data(config)
    right = METHODS.get("midalign").tasks[1].examples(data, config)
    broken = METHODS.get("broken_pairing").tasks[1].examples(data, config)
    for side in (0, 1):
        assert sorted(e.texts[side].answer for e in right) == sorted(
            e.texts[side].answer for e in broken
        )
    assert not {e.texts for e in right} & {e.texts for e in broken}


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("a.tsv", 'en\tes\n"Sky\tCielo\nSea\tMar\n', None),
        ("a.csv", "source,target\nSky,Cielo\nSea,Mar\n", ["en=source", "es=target"]),
        ("a.jsonl", '{"en": "Sky", "es": "Cielo"}\n{"en": "Sea", "es": "Mar"}\n', None),
    ],
)
def test_parallel_text_becomes_sentences(
    name: str, text: str, columns: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    data = load_data(make({"method": "mist", "data": str(tmp_path / name), "columns": columns}))
    assert [fact.sentences["es"] for fact in data.facts] == ["Cielo", "Mar"]
    assert data.languages == ("en", "es")


def test_parquet_and_instructions_and_preferences(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"en": ["Sky"], "es": ["Cielo"]}).to_parquet(tmp_path / "a.parquet")
    data = load_data(make({"method": "mist", "data": str(tmp_path / "a.parquet")}))
    assert data.facts[0].sentences == {"en": "Sky", "es": "Cielo"}
    (tmp_path / "i.jsonl").write_text(
        '{"id": 1, "language": "es", "instruction": "¿Q?", "output": "A"}\n'
        '{"id": 1, "language": "en", "instruction": "Q?", "output": "B"}\n',
        encoding="utf-8",
    )
    [fact] = load_data(make({"method": "clo", "data": str(tmp_path / "i.jsonl")})).facts
    assert fact.questions == {"es": "¿Q?", "en": "Q?"}
    assert fact.answers["es"] == "A"
    (tmp_path / "p.jsonl").write_text(
        '{"language": "es", "prompt": "¿Q?", "chosen": "sí", "rejected": "yes"}\n', encoding="utf-8"
    )
    [pair] = load_data(make({"method": "clo", "data": str(tmp_path / "p.jsonl")})).preferences
    assert (pair.chosen, pair.fit) == ("sí", True)


def test_preferences_in_one_language_need_no_english(tmp_path: Path) -> None:
    row = '{"language": "es", "prompt": "¿Q?", "chosen": "A", "rejected": "B"}\n'
    (tmp_path / "p.jsonl").write_text(row, encoding="utf-8")
    config = make({"method": "clo", "data": str(tmp_path / "p.jsonl"), "languages": ["es"]})
    data = load_data(config)
    assert data.languages == ("es",)
    [example] = METHODS.get("clo").tasks[0].examples(data, config)
    assert [text.answer for text in example.texts] == ["A", "B"]


def test_columns_that_are_named_may_stand_beside_others(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("en\tzh-Hant\tscore\nSky\t天\t1\n", encoding="utf-8")
    given = {"method": "mist", "data": str(tmp_path / "a.tsv")}
    data = load_data(make({**given, "columns": ["en=en", "zh-Hant=zh-Hant"]}))
    assert len(data.languages) == 2
