"""Damaged and foreign files: one message that names file, row and column, and only the bad row lost
under "skip".
"""

from __future__ import annotations

import csv
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mechcla
from mechcla.answers.answers import Answer, Answers
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet, read_jsonl
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.sources.blend.read import _csv as blend_csv
from mechcla.sources.blend.read import _json as blend_json
from mechcla.sources.files import read_items
from tests.conftest import universal
from tests.sources import blend_folder
from tests.sources.global_mmlu_folder import question

GOOD = universal("peru", "es", "La capital de Perú es", "Lima", "Quito")
LINE = json.dumps(GOOD.to_dict())
FLAT = "id,language,kind,split,prompt,candidate_1,role_1,candidate_2,role_2"
FLAT_ROW = "peru,es,universal,dev,La capital de Perú es,Lima,correct,Quito,wrong"


def other(**changes: object) -> dict[str, object]:
    return {**GOOD.to_dict(), "id": "other", **changes}


BAD_LINES = {
    "half a character": (
        json.dumps(other(prompt="La capital \ud83d es")),
        (
            r"item 'other' \(es\): 'prompt' is 'La capital \\ud83d es', "
            r"which holds half a character, U\+D83D at place 11"
        ),
    ),
    "half a character in a candidate": (
        json.dumps(
            other(
                candidates=[
                    {"text": "Lima", "role": "correct"},
                    {"text": "\udc00", "role": "wrong"},
                ]
            )
        ),
        "'text' of candidate 1 is .* half a character",
    ),
    "NUL": (json.dumps(other(topic="a\x00")), "'topic' is .* holds NUL"),
    "a key twice": (LINE[:-1] + ', "prompt": "other"}', "has the key 'prompt' twice in one object"),
    "a key of a candidate twice": (
        LINE.replace('"text": "Lima"', '"text": "Lima", "text": "Callao"'),
        "has the key 'text' twice in one object",
    ),
    "deep nesting": (
        LINE[:-1] + ', "topic": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "is nested too deeply to be read as JSON",
    ),
    "10,000 digits": (
        LINE[:-1] + ', "topic": ' + "9" * 10_000 + "}",
        "a whole number of more than 4,300 digits",
    ),
    "a path for a language": (
        json.dumps(other(language="../up")),
        "'language' is '../up'; expected",
    ),
    "a formula for a language": (json.dumps(other(language="=cmd|x")), r"'language' is '=cmd\|x'"),
    "the pooled row": (
        json.dumps(other(language="all")),
        "'language' is 'all', which names the row",
    ),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_can_be_left_out(name, tmp_path):
    line, said = BAD_LINES[name]
    path = tmp_path / "i.jsonl"
    path.write_text(f"{LINE}\n{line}\n", encoding="utf-8")
    with pytest.raises(MechclaError, match=rf"i\.jsonl, line 2:? .*{said}") as caught:
        mechcla.load_items(path)
    assert len(str(caught.value)) < 700
    found = read_items(path, bad_rows="skip")
    assert found.items == ItemSet((GOOD,))
    assert [s.what for s in found.left_out] == [f"{path}, line 2"]
    with pytest.raises(MechclaError, match=rf"line 2:? .*{said}"):
        read_jsonl(path)


@pytest.mark.parametrize("column", ["prompt", "topic", "candidate_1", "id"])
def test_nul_in_a_csv_cell_is_a_bad_row(column, tmp_path):
    cells = dict(zip(FLAT.split(","), FLAT_ROW.split(","), strict=True)) | {"topic": "city"}
    rows = [cells, cells | {"id": "other", column: "a\x00b"}]
    path = tmp_path / "i.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    assert b"\x00" in path.read_bytes()
    with pytest.raises(MechclaError, match=r"i\.csv, row 2 \(ends on line 3\): .* holds NUL"):
        mechcla.load_items(path)
    assert len(read_items(path, bad_rows="skip").items) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_utf_16_and_32_are_recognised(encoding, suffix, tmp_path):
    text = LINE + "\n" if suffix == "jsonl" else f"{FLAT}\n{FLAT_ROW}\n"
    path = tmp_path / f"i.{suffix}"
    path.write_text(text, encoding=encoding)
    for bad_rows in ("raise", "skip"):
        with pytest.raises(MechclaError, match=r"is UTF-16 or UTF-32 \(.*\); save it as UTF-8"):
            mechcla.load_items(path, bad_rows=bad_rows)
    path.write_text(text, encoding="utf-8-sig")
    assert mechcla.load_items(path) == ItemSet((GOOD,))


def test_a_cell_longer_than_csvs_own_limit_is_read(tmp_path):
    passage = 'Texto, "largo"\n' * 20_000  # 300,000 characters
    path = tmp_path / "i.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(FLAT.split(","))
        writer.writerow([*FLAT_ROW.split(",")[:4], passage, *FLAT_ROW.split(",")[5:]])
    before = csv.field_size_limit()
    with pytest.warns(UserWarning, match=r"1 of 1 items have faults \(1 double-space\)"):
        assert mechcla.load_items(path)[0].prompt == passage
    assert csv.field_size_limit() == before
    path.write_text(f'{FLAT}\n{FLAT_ROW}\nx,"{passage.replace(chr(34), "")}', encoding="utf-8")
    with pytest.raises(MechclaError, match=r"row 2: not CSV .*cut off inside a quoted cell"):
        mechcla.load_items(path)
    assert csv.field_size_limit() == before


def test_blends_files_are_read_the_same_way(tmp_path):
    long = "a" * 200_000
    table, notes = tmp_path / "q.csv", tmp_path / "a.json"
    table.write_text(f"ID,Question\n1,{long}\n", encoding="utf-8")
    assert blend_csv(table) == [{"ID": "1", "Question": long}]
    for text, said in (
        ('{"Al-en-01": {}, "Al-en-01": {}}', "has the key 'Al-en-01' twice in one object"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "more than 4,300 digits"),
        ('{"a": ', r"is not JSON at line 1, column 7 \(Expecting value\)"),
    ):
        notes.write_text(text, encoding="utf-8")
        with pytest.raises(MechclaError, match=rf"a\.json .*{said}"):
            blend_json(notes)


def test_half_a_character_in_blend_and_global_mmlu_is_named_by_file_and_field(tmp_path):
    blend_folder.write(tmp_path / "blend")
    notes = tmp_path / "blend" / "annotations" / "Spain_data.json"
    whole = notes.read_text(encoding="utf-8")
    for place in ("answers", "en_answers"):
        broken = whole.replace(f'"{place}": ["', f'"{place}": ["\\ud83d', 1)
        assert broken != whole
        notes.write_text(broken, encoding="utf-8")
        said = rf"Spain_data\.json, 'q-soup', annotation 1: '{place}' holds '.*half a character"
        with pytest.raises(MechclaError, match=said):
            mechcla.load_items("blend", path=tmp_path / "blend", regions=["ES"])
    for column in ("question", "sample_id", "subject", "option_c"):
        rows = [question("es", n) for n in range(3)]
        rows[1][column] += "\ud83d"
        (tmp_path / "mmlu").mkdir(exist_ok=True)
        for language, part in (("en", [question("en", n) for n in range(3)]), ("es", rows)):
            lines = "".join(json.dumps(row) + "\n" for row in part)
            (tmp_path / "mmlu" / f"{language}_test.jsonl").write_text(lines, encoding="utf-8")
        said = rf"es_test\.jsonl, line 2, column '{column}' is '.*half a character"
        with pytest.raises(MechclaError, match=said):
            mechcla.load_items("global_mmlu", languages=["es"], path=tmp_path / "mmlu")


def frame() -> pd.DataFrame:
    rows = [universal(f"q{i}", "es", "La capital es", "Lima", "Quito").to_dict() for i in range(6)]
    return pd.DataFrame(rows)


def test_items_come_back_from_a_frame_that_was_filtered(tmp_path):
    part = frame()[lambda f: f.id.isin(["q0", "q1", "q3"])]
    part.to_parquet(tmp_path / "i.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "i.parquet").names
    assert mechcla.load_items(tmp_path / "i.parquet").ids == ("q0", "q1", "q3")
    part.set_index("id").to_parquet(tmp_path / "i.parquet")  # an index that is a column of ours
    assert mechcla.load_items(tmp_path / "i.parquet").ids == ("q0", "q1", "q3")


def test_the_row_number_that_pandas_writes_into_a_csv_is_left_out(tmp_path):
    path = tmp_path / "i.csv"
    path.write_text(f"{FLAT}\n{FLAT_ROW}\n", encoding="utf-8")
    rows = pd.read_csv(path, keep_default_na=False)
    rows.to_csv(path)
    assert path.read_text(encoding="utf-8").startswith(",id,")
    assert mechcla.load_items(path) == ItemSet((GOOD,))
    rows.set_index(pd.Index(["first"])).to_csv(path)  # no row number: nothing is guessed
    with pytest.raises(MechclaError, match="has an unknown column ''"):
        mechcla.load_items(path)


def test_a_parquet_column_twice_and_text_that_is_not_utf_8_are_named(tmp_path):
    path = tmp_path / "i.parquet"
    pq.write_table(pa.table([["a"], ["b"]], names=["id", "id"]), path)
    with pytest.raises(MechclaError, match=r"i\.parquet has the column 'id' twice"):
        mechcla.load_items(path)
    raw = pa.array([b"La capital \xf0\x9f es"]).cast(pa.string(), safe=False)
    table = pa.Table.from_pandas(frame()[:1], preserve_index=False)
    pq.write_table(table.set_column(table.column_names.index("prompt"), "prompt", raw), path)
    with pytest.raises(
        MechclaError, match=r"cannot read the cells of .*i\.parquet: .*'utf-8' codec"
    ):
        mechcla.load_items(path)


def test_scores_and_answers_come_back_from_a_frame_that_was_filtered(tmp_path):
    rows = tuple(
        ItemScore(
            f"q{i}",
            "es",
            "universal",
            "dev",
            "",
            None,
            "implicit",
            ("Lima", "Quito"),
            ("correct", "wrong"),
            (None, None),
            (-1.5 - i, -2.25),
            (1, 2),
            (-3.0, -4.0),
        )
        for i in range(4)
    )
    scores, path = Scores(rows), tmp_path / "s.parquet"
    scores.to_parquet(path)
    odd = lambda f: f.id.isin(["q1", "q3"])  # noqa: E731
    pd.read_parquet(path)[odd].to_parquet(path)
    assert Scores.from_parquet(path).rows == (rows[1], rows[3])
    scores.to_pandas()[odd].to_parquet(path)  # with choice, choice_role and share
    assert Scores.from_parquet(path).rows == (rows[1], rows[3])
    scores.to_pandas().assign(prir=1).to_parquet(path)
    with pytest.raises(MechclaError, match="has an unknown column 'prir'; did you mean 'prior'"):
        Scores.from_parquet(path)
    scores.to_pandas().drop(columns="texts").to_parquet(path)
    with pytest.raises(MechclaError, match="lacks the column 'texts'; it has id, language"):
        Scores.from_parquet(path)

    given = dict.fromkeys(Answer.__dataclass_fields__, "x") | {"tokens": (1, 2), "number": 0}
    answers = Answers(tuple(Answer(**{**given, "id": f"q{i}"}) for i in range(4)), {})
    answers.to_parquet(path)
    pd.read_parquet(path)[odd].to_parquet(path)
    assert Answers.from_parquet(path).rows == (answers.rows[1], answers.rows[3])
