"""Hugging Face data sets on disk, read by `datasets` itself, with every way to say what a column
holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mechcla
from mechcla.errors import MechclaError
from mechcla.sources.columns import Columns, Constants, item_of
from mechcla.sources.hub import read_hub
from mechcla.sources.splits import half, sample
from mechcla.sources.tables import Row

TEXT = st.characters(codec="utf-8", exclude_characters="\x00")  # no text of an item holds NUL

CITIES = ["Lima", "Quito", "None", "La Paz"]
ROWS: list[dict[str, Any]] = [
    {
        "key": n,
        "lang": language,
        "question": f"{ask} {n}?",
        "choices": CITIES,
        "answer": n % 4,
        "field": "geo",
    }
    for language, ask in (("en", "Which city is"), ("es", "¿Qué ciudad es"))
    for n in range(6)
]
COLUMNS = {"id": "key", "language": "lang", "topic": "field"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_every_local_form_gives_the_same_items(tmp_path):
    table = datasets.Dataset.from_list(ROWS)
    lines(tmp_path / "a.jsonl", ROWS)
    table.to_parquet(tmp_path / "a.parquet")
    lines(tmp_path / "folder" / "test.jsonl", ROWS)
    table.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"test": table, "train": table}).save_to_disk(tmp_path / "both")
    found = [
        mechcla.load_items("hub", dataset=str(tmp_path / name), columns=COLUMNS)
        for name in ("a.jsonl", "a.parquet", "folder", "saved", "both")
    ]
    for items in found:
        assert [(i.id, i.language, i.prompt, i.right, i.topic) for i in items] == [
            (str(r["key"]), r["lang"], r["question"], r["answer"], "geo") for r in ROWS
        ]
        assert all(i.split == half(i.id) for i in items)
    spanish = mechcla.load_items(
        "hub", languages=["es"], dataset=tmp_path / "a.jsonl", columns=Columns(**COLUMNS)
    )
    assert spanish.languages == ("en", "es")


def test_an_answer_that_reads_none_survives_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "question,a,b,c,right\nHow many?,None,NA,3,None\nWhat?,x,y,,y\n", encoding="utf-8"
    )
    items = mechcla.load_items(
        "hub", dataset=path, language="en", columns={"choices": ("a", "b", "c"), "answer": "right"}
    )
    assert [c.text for c in items[0].candidates] == ["None", "NA", "3"]
    assert items[0].right == 0
    # An empty cell is a choice it does not have.
    assert [c.text for c in items[1].candidates] == ["x", "y"]
    assert items[0].id == f"{path}/1"


def test_one_config_a_language(tmp_path):
    folder = tmp_path / "set"
    for code, name in (("en", "eng"), ("es", "spa"), ("ko", "kor")):
        rows = [
            {"key": str(n), "q": f"{code} {n}", "mc1": "x", "mc2": "y", "right": "2"}
            for n in range(4)
        ]
        lines(folder / name / "test.jsonl", rows)
    (folder / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(
            f"- config_name: {n}\n  data_files: {n}/test.jsonl\n" for n in ("eng", "spa", "kor")
        )
        + "---\n",
        encoding="utf-8",
    )
    options = {
        "dataset": str(folder),
        "config": {"en": "eng", "es": "spa", "ko": "kor"},
        "split": "train",
        "columns": {
            "id": ["key"],
            "prompt": "{q}\nAnswer:",
            "choices": ["mc1", "mc2"],
            "answer": "right",
            "answer_is": "index1",
        },
    }
    items = mechcla.load_items("hub", languages=["es"], **options)
    assert items.languages == ("en", "es")
    assert items.language("es").ids == items.language("en").ids
    assert items.language("es")[0].prompt == "es 0\nAnswer:"
    assert {i.right for i in items} == {1}
    assert mechcla.load_items("hub", **options).languages == ("en", "es", "ko")
    few = mechcla.load_items("hub", limit=2, **options)
    assert len(few) == 6
    assert few.language("ko").ids == few.language("en").ids
    with pytest.raises(MechclaError, match="config has no language 'kr'; did you mean 'ko'"):
        mechcla.load_items("hub", languages=["kr"], **options)
    with pytest.raises(
        MechclaError, match="columns needs an 'id', which pairs a question with its translations"
    ):
        mechcla.load_items("hub", **{**options, "columns": {"prompt": "q"}})
    with pytest.raises(MechclaError, match=r"cannot load .*, config 'engl', on disk: .*engl"):
        mechcla.load_items("hub", **{**options, "config": {"en": "engl"}})


def test_cultural_items_get_their_roles_from_the_countries(tmp_path):
    row = {
        "q": "We drink",
        "cue": "I live in Spain.",
        "land": "ES",
        "options": ["tea", "wine", "sake"],
        "key": "wine",
        "of": ["GB", "ES", "JP"],
        "part": "test",
    }
    columns = {
        "prompt": "q",
        "prompt_explicit": "{cue} {q}",
        "choices": "options",
        "answer": "key",
        "country": "land",
        "choice_countries": "of",
        "split": "part",
    }
    path = lines(tmp_path / "c.jsonl", [row, row | {"land": "GB", "key": "tea"}])
    spain, britain = mechcla.load_items(
        "hub", dataset=path, columns=columns, kind="cultural", language="en"
    )
    assert [(c.role, c.country) for c in spain.candidates] == [
        ("english", "GB"),
        ("local", "ES"),
        ("other", "JP"),
    ]
    assert [c.role for c in britain.candidates] == ["local", "other", "other"]
    assert spain.prompt_text("explicit") == "I live in Spain. We drink"
    assert (spain.split, spain.country) == ("test", "ES")
    short = lines(tmp_path / "d.jsonl", [row | {"of": ["GB"]}])
    with pytest.raises(
        MechclaError, match=r"column 'of' is \['GB'\]; expected a country for each of the 3 answers"
    ):
        mechcla.load_items("hub", dataset=short, columns=columns, kind="cultural", language="en")


def test_a_dot_reaches_into_a_nested_column(tmp_path):
    path = lines(
        tmp_path / "n.jsonl",
        [{"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answer": "B"}],
    )
    assert (
        mechcla.load_items("hub", dataset=path, language="en", columns={"choices": "choices.text"})[
            0
        ].right
        == 1
    )
    with pytest.raises(
        MechclaError, match=r"column 'choices.txt': 'choices' has no 'txt'; did you mean 'text'"
    ):
        mechcla.load_items("hub", dataset=path, language="en", columns={"choices": "choices.txt"})


def right(answer: Any, choices: list[str], how: str = "auto") -> int:
    row = Row("t", {"question": "q", "choices": choices, "answer": answer}, number=1)
    return item_of(row, Columns(answer_is=how), Constants(language="en", source="s")).right


@pytest.mark.parametrize(
    ("answer", "choices", "how", "place"),
    [
        (1, ["x", "y"], "auto", 1),
        (1, ["x", "y"], "index1", 0),
        ("1", ["x", "y"], "index", 1),
        ("2", ["x", "y"], "index1", 1),
        ("B", ["x", "y"], "auto", 1),
        (" b", ["x", "y"], "letter", 1),
        ("y ", ["x", "y"], "auto", 1),
        ("3", ["2", "3"], "auto", 1),
        ("B", ["B", "A"], "letter", 1),
        ("B", ["B", "A"], "text", 0),
        ("C", ["C", "D"], "auto", 0),
        ("A", ["A", "B"], "auto", 0),
    ],
)
def test_the_right_answer_as_a_place_a_letter_or_a_text(answer, choices, how, place):
    assert right(answer, choices, how) == place


@pytest.mark.parametrize(
    ("answer", "choices", "how", "message"),
    [
        (
            2,
            ["x", "y"],
            "auto",
            (
                "column 'answer' is 2, which is none of the 2 answers; "
                "if answers are counted from 1, say answer_is='index1'"
            ),
        ),
        (-1, ["x", "y"], "index", "column 'answer' is -1, which is none of the 2 answers"),
        (0, ["x", "y"], "index1", "column 'answer' is 0, which is none of the 2 answers"),
        (
            "1",
            ["x", "y"],
            "auto",
            "is '1', which is none of the 2 answers; say answer_is='index' or 'index1'",
        ),
        (
            "Limma",
            ["Lima", "Rome"],
            "auto",
            "is 'Limma', which is none of the 2 answers; did you mean 'Lima'",
        ),
        (
            "E",
            ["x", "y"],
            "letter",
            "is 'E', which is none of the 2 answers; answer_is is 'letter'",
        ),
        (
            "B",
            ["B", "A"],
            "auto",
            "a letter and one of the answers; say answer_is='letter' or 'text'",
        ),
        ("x", ["x", "x"], "auto", "is 'x', which 2 of the answers are"),
        (None, ["x", "y"], "auto", "is None, which is none of the 2 answers"),
        (True, ["x", "y"], "auto", "is True, which is none of the 2 answers"),
        (1.0, ["x", "y"], "index", "is 1.0, which is none of the 2 answers"),
    ],
)
def test_an_answer_that_cannot_be_read_is_shown(answer, choices, how, message):
    with pytest.raises(MechclaError, match=message):
        right(answer, choices, how)


@given(
    st.lists(
        st.text(TEXT, min_size=1).filter(str.strip), min_size=2, max_size=6, unique_by=str.strip
    ),
    st.data(),
)
def test_a_place_and_a_text_say_the_same(choices, data):
    place = data.draw(st.integers(0, len(choices) - 1))
    assert (
        right(place, choices)
        == right(place + 1, choices, "index1")
        == right(choices[place], choices, "text")
        == place
    )
    assert right("ABCDEF"[place], choices, "letter") == place


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"prompt": "questoin"},
            r"a\.jsonl test, row 1: lacks the column 'questoin'; did you mean 'question'",
        ),
        ({"prompt": "{questoin} {key}"}, "lacks the column 'questoin'; did you mean 'question'"),
        ({"choices": "choice"}, "lacks the column 'choice'; did you mean 'choices'"),
        (
            {"choices": "question"},
            (
                r"column 'question' is 'Which city is 0\?'; "
                r"expected a list of answers \(or name several columns\)"
            ),
        ),
        ({"choices": ("question", "optoin")}, "lacks the column 'optoin'"),
        ({"answer": "answr"}, "lacks the column 'answr'; did you mean 'answer'"),
        ({"topic": "choices"}, r"column 'choices' is \['Lima', .*; expected a text"),
        ({"kind": "field"}, "column 'field' is 'geo'; known: universal, cultural"),
        ({"split": "field"}, "'split' is 'geo'; known: dev, test"),
        ({"promt": "question"}, "columns has an unknown field 'promt'; did you mean 'prompt'"),
        ({"answer_is": "letters"}, "answer_is is 'letters'; did you mean 'letter'"),
        ({"language": None}, "is given in 0 ways; expected one of language='es'"),
        ({"id": None}, "columns needs an 'id'"),
    ],
)
def test_a_wrong_mapping_names_the_column_and_the_nearest(tmp_path, columns, message):
    path = lines(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(MechclaError, match=message):
        mechcla.load_items("hub", dataset=path, columns=COLUMNS | columns)


def test_bad_rows_can_be_skipped_and_are_counted(tmp_path):
    rows = [dict(row) for row in ROWS]
    rows[1]["answer"] = 9
    rows[2]["question"] = ""
    rows[3]["key"] = rows[0]["key"]
    path = lines(tmp_path / "a.jsonl", rows)
    with pytest.warns(
        UserWarning,
        match=(
            r"3 rows skipped: .*row 2: column 'answer' is 9.*row 3: column 'question' is ''"
            r".*row 4: item '0' \(en\) stands twice"
        ),
    ):
        items = mechcla.load_items("hub", dataset=path, columns=COLUMNS, bad_rows="skip")
    assert len(items) == 9
    assert len(read_hub(path, COLUMNS, bad_rows="skip").left_out) == 3
    with pytest.raises(MechclaError, match="row 2: column 'answer' is 9"):
        mechcla.load_items("hub", dataset=path, columns=COLUMNS)


def test_what_cannot_be_opened_is_one_clear_message(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        MechclaError,
        match=(
            r"cannot load 'no/such', config 'en', from the Hugging Face hub: "
            r".*HF_HUB_OFFLINE is set; dataset= may be"
        ),
    ) as caught:
        mechcla.load_items("hub", dataset="no/such", config="en", language="en")
    assert "\n" not in str(caught.value)
    path = lines(tmp_path / "folder" / "train.jsonl", ROWS)
    with pytest.raises(MechclaError, match="folder has no split 'test'; known: train"):
        mechcla.load_items("hub", dataset=path.parent, columns=COLUMNS)
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(
        MechclaError, match=r"cannot read .*a\.txt: .*known: \.csv, \.json, \.jsonl, \.parquet"
    ):
        mechcla.load_items("hub", dataset=tmp_path / "a.txt", columns=COLUMNS)
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(MechclaError, match=r"cannot load '.*b\.parquet' on disk"):
        mechcla.load_items("hub", dataset=tmp_path / "b.parquet", columns=COLUMNS)
    with pytest.raises(MechclaError, match="limit is 0; expected at least 1"):
        mechcla.load_items("hub", dataset=path, columns=COLUMNS, limit=0)
    with pytest.raises(MechclaError, match="'hub' has no option 'datset'; did you mean 'dataset'"):
        mechcla.load_items("hub", datset="x")
    with pytest.raises(MechclaError, match=r"the source 'hub' needs dataset=\.\.\."):
        mechcla.load_items("hub")


@given(st.lists(st.text(TEXT), unique=True), st.integers(1, 8))
def test_a_sample_keeps_the_order_and_grows(ids, limit):
    few, more = sample(ids, limit), sample(ids, limit + 1)
    assert len(few) == min(limit, len(ids))
    assert few == [id for id in ids if id in set(few)]
    assert set(few) <= set(more)
    assert {half(id) for id in ids} <= {"dev", "test"}


def test_a_source_of_one_s_own_gets_the_languages_if_it_takes_them(small_items):
    seen: list[Any] = []

    def mine(languages: list[str] | None = None) -> mechcla.ItemSet:
        seen.append(languages)
        return small_items

    mechcla.register_source("mine with languages", mine)
    assert mechcla.load_items("mine with languages", languages="es").languages == ("en", "es")
    assert mechcla.load_items("mine with languages") == small_items
    assert seen == [["es"], None]
