"""Global-MMLU: a copy in every layout gives the same universal, parallel items."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mechcla
from mechcla.engine.packing import pack
from mechcla.errors import MechclaError
from mechcla.sources.global_mmlu import LANGUAGES, read_global_mmlu
from mechcla.sources.global_mmlu.build import build, same_option
from mechcla.sources.global_mmlu.cues import check_language
from mechcla.sources.global_mmlu.questions import Question
from mechcla.sources.splits import half
from tests.conftest import tiny_tokenizer
from tests.sources.global_mmlu_folder import LAYOUTS, parallel, question, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path, parallel("en", "es", "ko", "zh"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_items(tmp_path, layout):
    data = parallel("en", "es")
    want = read_global_mmlu(["es"], path=save(tmp_path / "want", data), shots=0).items
    folder = save(tmp_path / "got", data, layout=layout)
    save(
        folder, {language: [question(language, 0, split="dev")] for language in data}, "dev", layout
    )
    assert mechcla.load_items("global_mmlu", languages=["es"], path=folder) == want
    assert mechcla.load_items("global_mmlu", languages=["es"], path=folder, shots=1).ids == want.ids


def test_all_shards_and_a_plain_name_are_read(tmp_path):
    data = parallel("en")["en"]
    save(tmp_path, {"en": data[:5]}, layout="{language}/{split}-00000-of-00002.parquet")
    save(tmp_path, {"en": data[5:]}, layout="{language}/{split}-00001-of-00002.parquet")
    assert read_global_mmlu(path=tmp_path, subset="all").report.asked == 12
    plain = save(tmp_path / "plain", {"en": data}, layout="{language}.jsonl")
    assert read_global_mmlu(path=plain, subset="all").report.asked == 12


def test_items_are_universal_parallel_and_split_by_id(folder):
    items = mechcla.load_items("global_mmlu", languages=["es", "ko"], path=folder)
    assert items.languages == ("en", "es", "ko")
    assert len(items) == 18
    assert items.universal == items
    for language in items.languages:
        assert items.language(language).ids == items.language("en").ids
    first = items.language("es")[0]
    assert (first.id, first.topic, first.source, first.licence) == (
        "arithmetic/test/0",
        "arithmetic",
        "CohereLabs/Global-MMLU",
        "Apache-2.0",
    )
    assert first.prompt == "¿Cuánto es 0 más uno?\nRespuesta:"
    assert [c.text for c in first.candidates] == [f"Es «{k}», claro" for k in range(4)]
    assert first.right == 1
    assert all(item.split == half(item.id) for item in items)
    assert len(items.dev)
    assert len(items.test)


def test_only_the_languages_asked_for_are_read(folder):
    (folder / "zh" / "test.csv").write_text("broken", encoding="utf-8")
    assert mechcla.load_items("global_mmlu", languages=["es"], path=folder).languages == (
        "en",
        "es",
    )
    assert mechcla.load_items("global_mmlu", languages="es", path=folder).languages == ("en", "es")
    with pytest.raises(MechclaError, match=r"zh.test\.csv"):
        mechcla.load_items("global_mmlu", path=folder)  # every language that the folder has


def test_subsets(folder):
    ids = {
        subset: read_global_mmlu(["es"], subset, path=folder).items.language("en").ids
        for subset in ("CA", "CS", "all")
    }
    numbers = {subset: [int(id.rsplit("/", 1)[1]) for id in found] for subset, found in ids.items()}
    assert numbers == {"CA": [0, 2, 4, 6, 8, 10], "CS": [1, 5, 9], "all": list(range(12))}


def test_letters_are_mmlu_s_layout(folder):
    items = mechcla.load_items("global_mmlu", languages=["es", "zh"], path=folder, form="letters")
    spanish, chinese = items.language("es")[0], items.language("zh")[0]
    assert spanish.prompt == (
        "¿Cuánto es 0 más uno?\n"
        "A. Es «0», claro\nB. Es «1», claro\nC. Es «2», claro\nD. Es «3», claro\n"
        "Respuesta:"
    )
    assert [c.text for c in spanish.candidates] == list("ABCD")
    assert spanish.right == 1
    assert chinese.prompt.endswith("D. 是3\n答案：")
    assert (spanish.separator, chinese.separator) == (" ", "")


@pytest.mark.parametrize("form", ["cloze", "letters"])
def test_shots_are_the_same_questions_in_every_language_and_of_the_subject(tmp_path, form):
    data = {la: [question(la, 0), question(la, 2, "history")] for la in ("en", "es")}
    dev = {
        la: [
            question(la, n, subject, "dev")
            for subject in ("arithmetic", "history")
            for n in range(5)
        ]
        for la in ("en", "es")
    }
    folder = save(save(tmp_path, data), dev, "dev")
    items = read_global_mmlu(["es"], form=form, shots=3, path=folder).items
    history = items.language("es")[1]
    assert history.topic == "history"
    blocks = history.prompt.split("\n\n")
    assert len(blocks) == 4
    answer = "B" if form == "letters" else "Es «1», claro"
    assert blocks[0].startswith("¿Cuánto es 0 más uno?")
    assert blocks[0].endswith(f"Respuesta: {answer}")
    assert blocks[3].endswith("Respuesta:")
    assert [b.count("\n") for b in history.prompt.split("\n\n")] == [
        b.count("\n") for b in items.language("en")[1].prompt.split("\n\n")
    ]


def test_shots_are_filled_from_other_subjects_and_that_is_reported(tmp_path):
    folder = save(tmp_path, {"en": [question("en", 0), question("en", 2, "law")]})
    save(
        folder,
        {
            "en": [
                question("en", n, s, "dev")
                for s in ("arithmetic", "law")
                for n in range(3 if s == "law" else 1)
            ]
        },
        "dev",
    )
    found = read_global_mmlu(shots=3, path=folder)
    assert found.report.other_subject == ("arithmetic/test/0",)
    assert found.items[0].prompt.count("Answer:") == 4
    with pytest.warns(UserWarning, match="1 with shots of other subjects: arithmetic/test/0"):
        mechcla.load_items("global_mmlu", shots=3, path=folder)
    with pytest.raises(
        MechclaError,
        match="shots=5, but the dev questions hold 4 usable ones that are in each of en",
    ):
        read_global_mmlu(shots=5, path=folder)
    save(folder, {"en": [question("en", 0)]}, "dev")
    with pytest.raises(
        MechclaError,
        match=r"in dev and in test, so a shot would give its own answer away: 'arithmetic/test/0'",
    ):
        read_global_mmlu(shots=1, path=folder)


def test_what_is_not_parallel_is_left_out_everywhere_and_reported(tmp_path):
    data = parallel("en", "es", "ko")
    del data["es"][0]
    data["ko"].append(question("ko", 100))
    # Question 2, two equal options.
    data["es"][1]["option_c"] = data["es"][1]["option_a"].upper() + " "
    data["ko"][4]["option_d"] = ""
    data["es"][5]["answer"] = "C"  # question 6
    data["es"][7]["cultural_sensitivity_label"] = "CS"  # question 8
    folder = save(tmp_path, data)
    found = read_global_mmlu(["es", "ko"], path=folder)
    report = found.report
    assert report.missing == {"es": ("arithmetic/test/0",)}
    assert report.equal == {"es": ("arithmetic/test/2",)}
    assert report.empty == {"ko": ("arithmetic/test/4",)}
    assert report.not_english == {"ko": ("arithmetic/test/100",)}
    assert report.other_answer == {"es": ("arithmetic/test/6",)}
    assert report.other_label == {"es": ("arithmetic/test/8",)}
    assert (report.asked, report.kept, report.dropped, report.items) == (6, 3, 3, 9)
    assert set(found.items.ids) == {"arithmetic/test/6", "arithmetic/test/8", "arithmetic/test/10"}
    with pytest.warns(
        UserWarning,
        match=(
            r"3 of 6 questions kept, 9 items in en es ko; "
            r"es: 1 not in this language: arithmetic/test/0"
        ),
    ) as seen:
        mechcla.load_items("global_mmlu", languages=["es", "ko"], path=folder)
    assert len(seen) == 1
    letters = read_global_mmlu(["es", "ko"], path=folder, form="letters")
    assert "arithmetic/test/2" in letters.items.ids
    assert "two options are equal (kept)" in str(letters.report)


def test_a_null_option_is_an_empty_one(tmp_path):
    rows = parallel("en")["en"]
    rows[0]["option_b"] = None  # how a table that went through pandas spells the answer "None"
    save(tmp_path, {"en": rows}, layout=LAYOUTS[0])
    assert read_global_mmlu(path=tmp_path).report.empty == {"en": ("arithmetic/test/0",)}
    rows[0]["option_b"] = "None"
    items = read_global_mmlu(path=save(tmp_path / "csv", {"en": rows})).items
    assert items[0].candidates[1].text == "None"


def test_limit_takes_the_same_questions_in_every_language_and_spreads_over_subjects(tmp_path):
    data = {
        la: [question(la, 4 * n, s) for s in ("a", "b", "c", "d") for n in range(20)]
        for la in ("en", "es")
    }
    folder = save(tmp_path, data)
    few = read_global_mmlu(["es"], path=folder, limit=12).items
    assert len(few) == 24
    assert few.language("en").ids == few.language("es").ids
    assert len({item.topic for item in few}) == 4
    assert len(read_global_mmlu(["es"], path=folder, limit=10_000).items) == 160
    more = read_global_mmlu(["es"], path=folder, limit=13).items
    assert set(few.ids) < set(more.ids)


def test_both_forms_pack(folder):
    tokenizer = tiny_tokenizer()
    for form in ("cloze", "letters"):
        for item in mechcla.load_items(
            "global_mmlu", languages=["es", "ko", "zh"], path=folder, form=form
        ):
            packed = pack(item, tokenizer)
            assert all(packed.candidates)


def test_the_42_languages():
    assert len(LANGUAGES) == 42
    for language in LANGUAGES.values():
        assert language.cue.endswith((":", "："))
        assert language.cue == unicodedata.normalize("NFC", language.cue).strip()
        assert language.separator == ("" if language.cue.endswith("：") else " ")
    scripts = {
        "en": "LATIN",
        "ru": "CYRILLIC",
        "el": "GREEK",
        "he": "HEBREW",
        "fa": "ARABIC",
        "ko": "HANGUL",
        "zh": "CJK",
        "hi": "DEVANAGARI",
        "am": "ETHIOPIC",
        "si": "SINHALA",
        "te": "TELUGU",
        "bn": "BENGALI",
        "uk": "CYRILLIC",
    }
    for code, script in scripts.items():
        assert unicodedata.name(LANGUAGES[code].cue[0]).startswith(script)


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [
        ("spanish", "es"),
        ("Koreann", "ko"),
        ("pt-BR", "pt"),
        ("zh_CN", "zh"),
        ("tl", "fil"),
        ("farsi", "fa"),
        ("EN", "en"),
        ("xx", "known: am"),
    ],
)
def test_an_unknown_language_comes_with_the_nearest(given_name, meant, folder):
    with pytest.raises(MechclaError, match=re.escape(meant)):
        check_language(given_name)
    with pytest.raises(MechclaError, match=f"no language '{given_name}'"):
        mechcla.load_items("global_mmlu", languages=[given_name], path=folder)


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=6)


rows = st.tuples(
    st.sampled_from("st"),
    texts,
    st.tuples(texts, texts, texts, texts),
    st.integers(0, 3),
    st.sampled_from(["CA", "CS", ""]),
)
tables = st.fixed_dictionaries(
    {
        "en": st.dictionaries(st.sampled_from("abcdef"), rows),
        "es": st.dictionaries(st.sampled_from("abcdefg"), rows, min_size=3),
        "ko": st.dictionaries(st.sampled_from("abcdefg"), rows, min_size=3),
    }
)


@given(
    tables,
    st.sampled_from(["CA", "CS", "all"]),
    st.sampled_from(["cloze", "letters"]),
    st.none() | st.integers(1, 4),
)
def test_whatever_the_rows_the_items_are_parallel_and_every_question_is_accounted_for(
    data, subset, form, limit
):
    questions = {
        language: {id: Question(id, *row) for id, row in found.items()}
        for language, found in data.items()
    }
    try:
        items, report = build(questions, {}, subset, form, 0, limit)
    except MechclaError as error:
        assert "no question is left" in str(error)  # noqa: PT017
        return
    for language in questions:
        assert items.language(language).ids == items.ids
    assert len(items) == report.items == 3 * len(items.ids)
    assert len(items.ids) == min(report.kept, limit or report.kept)
    left_out = (report.missing, report.empty, report.equal if form == "cloze" else {})
    assert report.asked == report.kept + len(
        {id for ids in left_out for found in ids.values() for id in found}
    )
    for item in items:
        row = questions[item.language][item.id]
        assert subset == "all" or questions["en"][item.id].label == subset
        assert item.right == row.answer
        assert form == "letters" or not same_option(row)
