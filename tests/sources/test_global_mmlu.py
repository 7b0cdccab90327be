"""Global-MMLU from folders of real files in its schema: layouts, subsets, forms, shots, what is left out, every error."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mechcla
from mechcla.engine.packing import pack
from mechcla.errors import MechclaError
from mechcla.sources.global_mmlu import LANGUAGES, global_mmlu_items, read_global_mmlu
from mechcla.sources.global_mmlu.build import build, same_option
from mechcla.sources.global_mmlu.cues import check_language
from mechcla.sources.global_mmlu.questions import Question
from mechcla.sources.splits import half
from tests.conftest import tiny_tokenizer

Row = dict[str, Any]
WORDS = {
    "en": ("What is {n} plus one?", "It is {n}"),
    "es": ("¿Cuánto es {n} más uno?", "Es «{n}», claro"),
    "ko": ("{n} 더하기 일은?", "{n}입니다"),
    "zh": ("{n}加一等于多少？", "是{n}"),
}
LABEL = ["CA", "CS", "CA", None]  # the label of question n is LABEL[n % 4]; None is not annotated


def question(
    language: str, n: int, subject: str = "arithmetic", split: str = "test", **changes: Any
) -> Row:
    """One row as the hub holds it: list columns are texts, rows that nobody annotated carry dashes."""
    ask, reply = WORDS[language]
    label = LABEL[n % 4]
    row = {
        "sample_id": f"{subject}/{split}/{n}",
        "subject": subject,
        "subject_category": "STEM",
        "question": ask.format(n=n),
    }
    row |= {
        f"option_{letter}": reply.format(n=n + k)
        for letter, k in zip("abcd", (0, 1, 2, 3), strict=True)
    }
    row |= {
        "answer": "B",
        "required_knowledge": "['none']" if label else "[]",
        "time_sensitive": "['No']" if label else "[]",
        "reference": "[]",
        "culture": "[]",
        "region": "[]",
        "country": "[]",
        "cultural_sensitivity_label": label or "-",
        "is_annotated": label is not None,
    }
    return row | changes


def write_parquet(path: Path, rows: list[Row]) -> None:
    pd.DataFrame(rows).to_parquet(path)


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )


WRITERS: dict[str, Callable[[Path, list[Row]], None]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "jsonl": write_jsonl,
}
LAYOUTS = [
    "{language}/{split}-00000-of-00001.parquet",
    "{language}/{split}.csv",
    "{language}_{split}.jsonl",
    "{language}-{split}.csv",
]


def save(
    folder: Path, data: dict[str, list[Row]], split: str = "test", layout: str = LAYOUTS[1]
) -> Path:
    for language, rows in data.items():
        path = folder / layout.format(language=language, split=split)
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[path.suffix[1:]](path, rows)
    return folder


def parallel(*languages: str, n: int = 12, **options: Any) -> dict[str, list[Row]]:
    return {
        language: [question(language, i, **options) for i in range(n)] for language in languages
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path, parallel("en", "es", "ko", "zh"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_items(tmp_path, layout):
    data = parallel("en", "es")
    want = global_mmlu_items(["es"], path=save(tmp_path / "want", data), shots=0)
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
        "¿Cuánto es 0 más uno?\nA. Es «0», claro\nB. Es «1», claro\nC. Es «2», claro\nD. Es «3», claro\nRespuesta:"
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
        global_mmlu_items(shots=3, path=folder)
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
    data["es"][1]["option_c"] = (
        data["es"][1]["option_a"].upper() + " "
    )  # question 2, two equal options
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
        match=r"3 of 6 questions kept, 9 items in en es ko; es: 1 not in this language: arithmetic/test/0",
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
    few = global_mmlu_items(["es"], path=folder, limit=12)
    assert len(few) == 24
    assert few.language("en").ids == few.language("es").ids
    assert len({item.topic for item in few}) == 4
    assert len(global_mmlu_items(["es"], path=folder, limit=10_000)) == 160
    more = global_mmlu_items(["es"], path=folder, limit=13)
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "ca"}, "subset is 'ca'; .*known: CA, CS, all"),
        ({"form": "letter"}, "form is 'letter'; did you mean 'letters'"),
        ({"shots": 6}, "shots is 6; expected 0 to 5"),
        ({"limit": 0}, "limit is 0; expected at least 1"),
        (
            {"shots": 1},
            r"no dev questions in 'en' in .*; expected en/dev-00000-of-00001\.parquet, .* languages there: none",
        ),
        (
            {"languages": ["fr"]},
            r"no test questions in 'fr' in .*; expected fr/test-00000.*languages there: en, es, ko, zh",
        ),
        ({"subsets": "CA"}, "'global_mmlu' has no option 'subsets'; did you mean 'subset'"),
    ],
)
def test_bad_options_are_shown(folder, options, message):
    with pytest.raises(MechclaError, match=message):
        mechcla.load_items("global_mmlu", **{"languages": ["es"], "path": folder, **options})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "E"}, r"row 3 .*column 'answer' is 'E'; expected one of A, B, C, D"),
        ({"answer": "b"}, r"column 'answer' is 'b'; expected one of A, B, C, D; did you mean 'B'"),
        ({"answer": "1"}, r"column 'answer' is '1'; expected one of A, B, C, D; did you mean 'B'"),
        ({"answer": ""}, r"row 3 .*column 'answer' is ''; expected a text"),
        ({"is_annotated": "maybe"}, r"column 'is_annotated' is 'maybe'; expected true or false"),
        (
            {"cultural_sensitivity_label": "CX"},
            r"column 'cultural_sensitivity_label' is 'CX'; did you mean",
        ),
        (
            {"sample_id": "arithmetic/test/0"},
            r"row 3 .*sample_id 'arithmetic/test/0' stands twice, first at .*row 1",
        ),
        ({"sample_id": " "}, r"column 'sample_id' is ' '; expected a text"),
    ],
)
@pytest.mark.parametrize("layout", [LAYOUTS[1], LAYOUTS[2]])
def test_a_bad_cell_is_named_by_file_row_and_column(tmp_path, change, message, layout):
    data = parallel("en", "es")
    data["es"][2] |= change
    folder = save(tmp_path, data, layout=layout)
    name = layout.format(language="es", split="test").replace(".", r"\.")
    message = message.replace("row 3 ", "(row|line) 3").replace("row 1", "(row|line) 1")
    with pytest.raises(MechclaError, match=f"{name}, .*{message}"):
        mechcla.load_items("global_mmlu", languages=["es"], path=folder)


def test_a_number_where_a_text_belongs_is_named(tmp_path):
    rows = parallel("en")["en"]
    rows[1]["option_a"] = 7
    with pytest.raises(
        MechclaError, match=r"en_test\.jsonl, line 2, column 'option_a' is 7; expected a text"
    ):
        read_global_mmlu(path=save(tmp_path, {"en": rows}, layout=LAYOUTS[2]))


@pytest.mark.parametrize("layout", LAYOUTS[:3])
def test_a_renamed_column_comes_with_the_nearest(tmp_path, layout):
    rows = [
        {("optionb" if k == "option_b" else k): v for k, v in row.items()}
        for row in parallel("en")["en"]
    ]
    with pytest.raises(
        MechclaError, match=r"(row|line) 1.* lacks the column 'option_b'; did you mean 'option"
    ):
        read_global_mmlu(path=save(tmp_path, {"en": rows}, layout=layout))
    bare = [
        {k: v for k, v in row.items() if k not in ("is_annotated", "cultural_sensitivity_label")}
        for row in parallel("en")["en"]
    ]
    folder = save(tmp_path / "bare", {"en": bare}, layout=layout)
    assert (
        read_global_mmlu(path=folder, subset="all").report.kept == 12
    )  # a copy without annotations has no subsets
    with pytest.raises(MechclaError, match="lacks the column 'is_annotated'"):
        read_global_mmlu(path=folder)


def test_half_downloaded_files_are_named(tmp_path):
    data = parallel("en")
    shard = save(tmp_path / "a", data, layout=LAYOUTS[0]) / "en/test-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:900])
    with pytest.raises(
        MechclaError,
        match=r"cannot read .*test-00000-of-00001\.parquet as Parquet: .*cut off while downloading",
    ):
        read_global_mmlu(path=tmp_path / "a")
    shard.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5185242\n")
    with pytest.raises(
        MechclaError, match="is a Git LFS pointer, not the data: run `git lfs pull`"
    ):
        read_global_mmlu(path=tmp_path / "a")
    shard.write_bytes(b"")
    with pytest.raises(MechclaError, match=r"is empty \(0 bytes\)"):
        read_global_mmlu(path=tmp_path / "a")
    shard.rename(shard.with_suffix(".parquet.incomplete"))
    with pytest.raises(
        MechclaError, match=r"a download did not finish: test-00000-of-00001\.parquet\.incomplete"
    ):
        read_global_mmlu(["en"], path=tmp_path / "a")
    save(tmp_path / "b", data, layout="{language}/{split}-00000-of-00003.parquet")
    with pytest.raises(
        MechclaError, match=r"has 1 of 3 parts of 'en' test; missing test-00001-of-00003\.parquet"
    ):
        read_global_mmlu(path=tmp_path / "b")
    for layout, cut in ((LAYOUTS[1], "row 12"), (LAYOUTS[2], "line 12 is not JSON")):
        file = save(tmp_path / layout[-4:], data, layout=layout) / layout.format(
            language="en", split="test"
        )
        text = file.read_text(encoding="utf-8")
        file.write_text(text[: text.rindex("plus one")], encoding="utf-8")
        with pytest.raises(MechclaError, match=cut):
            read_global_mmlu(path=file.parent if layout == LAYOUTS[2] else file.parent.parent)


def test_wrong_folders_are_named(tmp_path, folder):
    with pytest.raises(
        MechclaError, match="is no folder; expected one with a sub-folder or file a language"
    ):
        read_global_mmlu(["es"], path=tmp_path / "nowhere")
    with pytest.raises(MechclaError, match=r"test\.csv' is no folder; .*did you mean '.*es'"):
        read_global_mmlu(["es"], path=folder / "es" / "test.csv")
    (tmp_path / "none").mkdir()
    with pytest.raises(
        MechclaError, match=r"holds no language of Global-MMLU; expected en/test\.csv"
    ):
        read_global_mmlu(path=tmp_path / "none")
    save(folder, parallel("es"), layout=LAYOUTS[2])
    with pytest.raises(MechclaError, match=r"holds the test questions in 'es' twice: .*; keep one"):
        read_global_mmlu(["es"], path=folder)
    header = ",".join(question("en", 0))
    (folder / "en" / "test.csv").write_text(header + "\n", encoding="utf-8")
    with pytest.raises(
        MechclaError,
        match=r"en.test\.csv has no rows; expected Global-MMLU's test questions in 'en'",
    ):
        read_global_mmlu(["en"], path=folder)
    save(folder, {"en": [question("en", 1)]})
    with pytest.raises(
        MechclaError, match="no question is left: Global-MMLU CA, cloze: 0 of 0 questions kept"
    ):
        read_global_mmlu(["en"], path=folder)


def test_the_hub_out_of_reach_is_one_clear_message(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    want = r"cannot load 'CohereLabs/Global-MMLU', config 'en', from the Hugging Face hub: .*HF_HUB_OFFLINE is set; path='folder' reads your own copy"
    with pytest.raises(MechclaError, match=want) as caught:
        mechcla.load_items("global_mmlu", languages=["es"])
    assert "\n" not in str(caught.value)
    with pytest.raises(MechclaError, match="which languages of Global-MMLU"):
        mechcla.load_items("global_mmlu")


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


def test_the_examples_of_the_sources_page_print_what_it_says(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("mechcla.sources.SOURCES", dict(mechcla.sources.SOURCES))
    folder = save(tmp_path / "my_global_mmlu", parallel("en", "es", "ko"))
    save(
        folder,
        {la: [question(la, n, split="dev") for n in range(5)] for la in ("en", "es", "ko")},
        "dev",
    )
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    ran = 0
    for (language, code), (following, printed) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if language == "python" and not code.startswith("# downloads"):
            exec(compile(code, "sources.md", "exec"), names)
            assert following == "", "every example is followed by what it prints"
            assert capsys.readouterr().out == printed
            ran += 1
    assert ran == 4
    for name in ("demo", "global_mmlu", "hub"):
        assert f'| `"{name}"` |' in page
