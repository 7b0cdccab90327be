"""A user's own items as JSON Lines, CSV and Parquet: the same items from each, and every bad row
named.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.sources.files import read_items

FLAT = {
    "id": "currency",
    "language": "es",
    "kind": "cultural",
    "split": "dev",
    "prompt": "La moneda de nuestro país es el",
    "country": "ES",
    "candidate_1": "euro",
    "role_1": "local",
    "country_1": "ES",
    "candidate_2": "dólar",
    "role_2": "english",
    "country_2": "US",
    "candidate_3": "won",
    "role_3": "other",
    "country_3": "KR",
}


def write(path: Path, rows: list[dict[str, Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def flat(item: Item) -> dict[str, Any]:
    row = {k: v for k, v in item.to_dict().items() if k != "candidates"}
    row["separator"] = {" ": "space", "": "none"}.get(item.separator, item.separator)
    for n, c in enumerate(item.candidates, start=1):
        row |= {f"candidate_{n}": c.text, f"role_{n}": c.role, f"country_{n}": c.country}
    return row


def listed(item: Item) -> dict[str, Any]:
    row = {k: v for k, v in flat(item).items() if not k[-1].isdigit()}
    return row | {
        "candidates": json.dumps(
            [{"text": c.text, "role": c.role, "country": c.country} for c in item.candidates]
        )
    }


def columns_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def test_every_format_gives_the_same_items(tmp_path, small_items):
    small_items.to_jsonl(tmp_path / "a.jsonl")
    write(tmp_path / "flat.csv", columns_of([flat(item) for item in small_items]))
    write(
        tmp_path / "list.csv",
        columns_of([listed(item) for item in small_items]),
        encoding="utf-8-sig",
    )
    pd.DataFrame([item.to_dict() for item in small_items]).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame([flat(item) | {"separator": item.separator} for item in small_items]).to_parquet(
        tmp_path / "flat.parquet"
    )
    for name in ("a.jsonl", "flat.csv", "list.csv", "a.parquet", "flat.parquet"):
        assert mechcla.load_items(tmp_path / name) == small_items, name
        assert read_items(tmp_path / name).left_out == ()


def test_a_folder_is_read_whole(tmp_path, small_items):
    small_items.language("en").to_jsonl(tmp_path / "en.jsonl")
    write(tmp_path / "es.csv", columns_of([flat(item) for item in small_items.language("es")]))
    (tmp_path / "notes.txt").write_text("not items", encoding="utf-8")
    assert mechcla.load_items(tmp_path) == small_items.language("en") + small_items.language("es")
    small_items.language("en").to_jsonl(tmp_path / "zz.jsonl")
    with pytest.raises(
        MechclaError, match=r"zz\.jsonl, line 1: item .* stands twice, first at .*en\.jsonl, line 1"
    ):
        mechcla.load_items(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        MechclaError, match=r"the folder .*empty holds no \.jsonl, \.csv, \.parquet files"
    ):
        mechcla.load_items(tmp_path / "empty")


text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1).filter(
    str.strip
)
# A CSV cell that spells a separator is one of the two words; everything else stands for itself.
separators = st.sampled_from([" ", "", ": ", "\t", ",", '"'])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(
        st.tuples(text, text, st.lists(text, min_size=2, max_size=5), separators),
        min_size=1,
        max_size=4,
        unique_by=lambda r: r[0],
    )
)
def test_any_text_survives_both_csv_forms(tmp_path, rows):
    items = ItemSet(
        tuple(
            Item(
                id,
                "en",
                "universal",
                "test",
                prompt,
                tuple(Candidate(a, "wrong" if i else "correct") for i, a in enumerate(answers)),
                separator=gap,
            )
            for id, prompt, answers, gap in rows
        )
    )
    for form in (flat, listed):
        assert (
            mechcla.load_items(
                write(tmp_path / "any.csv", columns_of([form(item) for item in items]))
            )
            == items
        )


def test_the_words_for_separators(tmp_path):
    rows = [
        FLAT | {"id": name, "separator": cell}
        for name, cell in (("a", "none"), ("b", "space"), ("c", ": "), ("d", " "))
    ]
    assert [i.separator for i in mechcla.load_items(write(tmp_path / "s.csv", rows))] == [
        "",
        " ",
        ": ",
        " ",
    ]
    with pytest.raises(
        MechclaError, match=r"row 1 .*column 'separator' is empty; write 'space' or 'none'"
    ):
        mechcla.load_items(write(tmp_path / "s.csv", [FLAT | {"separator": ""}]))
    assert mechcla.load_items(write(tmp_path / "s.csv", [FLAT]))[0].separator == " "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "culturel"}, "'kind' is 'culturel'; did you mean 'cultural'"),
        ({"split": "train"}, "'split' is 'train'; known: dev, test"),
        ({"prompt": ""}, "lacks the field 'prompt'"),
        ({"role_2": "inglish"}, "column 'role_2' is 'inglish'; did you mean 'english'"),
        ({"role_2": ""}, "column 'role_2' is ''; known: local, english, other"),
        ({"candidate_2": ""}, "column 'candidate_2' is empty, but 'role_2' or 'country_2' is not"),
        ({"role_1": "other"}, "3 candidates of which 0 have role 'local'"),
        ({"role_2": "local"}, "3 candidates of which 2 have role 'local'"),
        ({"id": "first"}, r"item 'first' \(es\) stands twice, first at .*bad\.csv, row 1"),
    ],
)
def test_a_bad_csv_row_is_named_and_can_be_skipped(tmp_path, change, message):
    path = write(
        tmp_path / "bad.csv", [FLAT | {"id": "first"}, FLAT | change, FLAT | {"id": "third"}]
    )
    with pytest.raises(MechclaError, match=rf"bad\.csv, row 2 \(ends on line 3\): .*{message}"):
        mechcla.load_items(path)
    with pytest.warns(
        UserWarning, match=rf"bad\.csv: 1 rows skipped: .*row 2 \(ends on line 3\): .*{message}"
    ):
        assert mechcla.load_items(path, bad_rows="skip").ids == ("first", "third")
    (skipped,) = read_items(path, bad_rows="skip").left_out
    assert skipped.what.endswith("bad.csv, row 2 (ends on line 3)")
    assert re.search(message, skipped.reason)


def test_candidates_as_json(tmp_path):
    row = {k: v for k, v in FLAT.items() if not k[-1].isdigit()}
    for cell, message in [
        (
            '[{"text": "euro"',
            (
                r"row 1 .*: column 'candidates' is not JSON \(.*\): .*euro.*; "
                r"expected a list such as \[\{"
            ),
        ),
        ('{"text": "euro"}', "column 'candidates' is .*; expected a list"),
        ('["euro"]', "a candidate is a JSON object, not 'euro'"),
        ('[{"txt": "euro"}]', "unknown field 'txt'; did you mean 'text'"),
        ("", "0 candidates of which 0 have role 'local'"),
    ]:
        with pytest.raises(MechclaError, match=message):
            mechcla.load_items(write(tmp_path / "c.csv", [row | {"candidates": cell}]))


def test_columns_are_checked_once_for_the_file(tmp_path):
    def without(*names: str) -> dict[str, Any]:
        return {k: v for k, v in FLAT.items() if k not in names}

    for row, message in [
        (
            without("prompt") | {"promt": "x"},
            r"f\.csv has an unknown column 'promt'; did you mean 'prompt'",
        ),
        (without("split"), r"f\.csv, row 1 .* lacks the column 'split'"),
        (without("role_2"), "has the column 'candidate_2' without 'role_2'"),
        (FLAT | {"candidates": "[]"}, "has both a column 'candidates' and columns 'candidate_1'"),
        (
            {k: v for k, v in FLAT.items() if not k[-1].isdigit()},
            "has neither a column 'candidates' and columns",
        ),
    ]:
        with pytest.raises(MechclaError, match=message):
            mechcla.load_items(write(tmp_path / "f.csv", [row]), bad_rows="skip")


def test_broken_csv_is_named(tmp_path):
    path = write(tmp_path / "b.csv", [FLAT | {"id": str(n)} for n in range(3)])
    whole = path.read_text(encoding="utf-8")
    for content, message in [
        (
            whole + "9,es,cultural",
            (
                r"row 4 \(ends on line 5\) has 3 cells where the header has 15: "
                r"'9,es,cultural'; is the file cut off"
            ),
        ),
        (
            whole + '9,"es',
            r"row 4: not CSV \(unexpected end of data\); is the file cut off inside a quoted cell",
        ),
        (whole.replace(",", ";"), "has one column, .*: its cells must be separated by commas"),
        (whole.replace("country_2", "country_1"), "has the column 'country_1' twice"),
        (whole.splitlines()[0] + "\n", "holds no items; expected the fields"),
        ("", r"is empty \(0 bytes\) and holds no items"),
    ]:
        path.write_text(content, encoding="utf-8")
        with pytest.raises(MechclaError, match=message):
            mechcla.load_items(path)
    path.write_bytes(whole.encode("latin-1"))
    with pytest.raises(MechclaError, match="is not UTF-8 at byte"):
        mechcla.load_items(path)


def test_blank_rows_are_counted_and_listed(tmp_path):
    path = write(tmp_path / "b.csv", [FLAT])
    path.write_text(
        path.read_text(encoding="utf-8") + "," * 14 + "\n" + " ," * 14 + "\n", encoding="utf-8"
    )
    with pytest.warns(
        UserWarning,
        match=r"2 rows skipped: .*row 2 \(ends on line 3\): has only empty cells; .*row 3",
    ):
        assert len(mechcla.load_items(path)) == 1
    assert [s.reason for s in read_items(path).left_out] == ["has only empty cells"] * 2


def test_bad_lines_of_jsonl_can_be_skipped(tmp_path, small_items):
    good = [json.dumps(item.to_dict()) for item in small_items[:2]]
    path = tmp_path / "i.jsonl"
    path.write_text(
        "\n".join([good[0], "[1]", "{", good[1], "", good[0].replace("universal", "x", 1)]),
        encoding="utf-8",
    )
    found = read_items(path, bad_rows="skip")
    assert found.items == small_items[:2]
    assert [s.what.rsplit(", ", 1)[1] for s in found.left_out] == ["line 2", "line 3", "line 6"]
    with pytest.raises(MechclaError, match=r"i\.jsonl, line 2 is a JSON list and no object"):
        read_items(path)
    path.write_text("[1]\n", encoding="utf-8")
    with pytest.raises(
        MechclaError,
        match=(
            r"holds no items; "
            r"1 rows were skipped, the first: .*line 1: is a JSON list and no object"
        ),
    ):
        read_items(path, bad_rows="skip")
    with pytest.raises(MechclaError, match="bad_rows is 'ignore'; known: raise, skip"):
        read_items(path, bad_rows="ignore")


def test_a_bad_parquet_row_is_named(tmp_path, small_items):
    rows = [item.to_dict() for item in small_items]
    rows[1]["kind"] = "univesal"
    pd.DataFrame(rows).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(
        MechclaError, match=r"p\.parquet, row 2: .*'kind' is 'univesal'; did you mean 'universal'"
    ):
        mechcla.load_items(tmp_path / "p.parquet")
    (tmp_path / "p.parquet").write_bytes((tmp_path / "p.parquet").read_bytes()[:400])
    with pytest.raises(MechclaError, match=r"cannot read .*p\.parquet as Parquet"):
        mechcla.load_items(tmp_path / "p.parquet")


def test_one_question_in_both_splits_is_named_with_its_file(tmp_path):
    path = write(tmp_path / "s.csv", [FLAT, FLAT | {"language": "ca", "split": "test"}])
    with pytest.raises(
        MechclaError, match=r"s\.csv: item 'currency' \(ca\) is in split 'test' here and in 'dev'"
    ):
        mechcla.load_items(path)
