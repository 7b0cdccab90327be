"""BLEnD's files and settings that are not as they should be: one message that names file, row and
column.
"""

from __future__ import annotations

import csv

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.sources.blend import (
    blend_items,
)
from tests.sources.blend_folder import edit, question_rows, write


def test_unknown_settings_come_with_the_nearest(tmp_path):
    folder = write(tmp_path)
    for call, message in [
        ({"regions": ["Spian"]}, "BLEnD has no region 'Spian'; did you mean 'Spain'"),
        ({"regions": "es"}, "BLEnD has no region 'es'; did you mean 'ES'"),
        ({"regions": ["south korea"]}, "did you mean 'South_Korea'"),
        ({"regions": []}, r"regions=\[\] asks for no region"),
        ({"form": "lokal"}, "form='lokal' is not a form of a BLEnD question; did you mean 'local'"),
        ({"min_votes": 0}, "min_votes=0; expected a whole number of at least 1"),
        ({"regions": ["IR"]}, r"Iran_data.json is missing; the folder holds MX, KR, ES, US"),
    ]:
        with pytest.raises(MechclaError, match=message):
            blend_items(**{"path": folder, **call})
    with pytest.raises(MechclaError, match="the 'blend' items have no language 'kr'"):
        mechcla.load_items("blend", path=folder, languages=["kr"])


def test_a_folder_that_is_not_blend_is_named(tmp_path):
    with pytest.raises(MechclaError, match=r"no folder .*blendd'"):
        blend_items(path=tmp_path / "blendd")
    (tmp_path / "anotations").mkdir()
    with pytest.raises(
        MechclaError, match="has no 'annotations' folder; did you mean 'anotations'"
    ):
        blend_items(path=tmp_path)
    folder = write(tmp_path / "no_us", codes=("ES", "MX"))
    with pytest.raises(
        MechclaError, match=r"US_data.json is missing \(needed for the role 'english'\)"
    ):
        blend_items(["ES"], folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "annotations/Spain_data.json",
            '"count": 4',
            '"count": "four"',
            r"Spain_data.json, 'q-soup', annotation 1: 'count' is 'four'; expected a number",
        ),
        (
            "annotations/Spain_data.json",
            '"en_answers": ["gazpacho"]',
            '"en_answer": []',
            "annotation 1: 'en_answers' is None; expected a list",
        ),
        (
            "annotations/Spain_data.json",
            '"idks"',
            '"idk_s"',
            "Spain_data.json, 'q-soup': the field 'idks' is missing; did you mean 'idk_s'",
        ),
        (
            "annotations/Spain_data.json",
            '"idk": 0',
            '"idk": "0"',
            r"idks\['idk'\] is '0'; expected a number",
        ),
        (
            "annotations/Spain_data.json",
            '"q-hat"',
            '"q-hot"',
            r"Spain_questions.csv, row 3: ID 'q-hat' is not in .*did you mean 'q-hot'",
        ),
        (
            "questions/Spain_questions.csv",
            "Translation",
            "English",
            "Spain_questions.csv has no column 'Translation'; .*known: ID, Topic",
        ),
        (
            "questions/Spain_questions.csv",
            "q-hat",
            "q-soup",
            "Spain_questions.csv, row 3: ID 'q-soup' stands twice",
        ),
        (
            "prompts/Spain_prompts.csv",
            "inst-4",
            "inst-5",
            "Spain_prompts.csv has no row with id 'inst-4'; did you mean 'inst-5'",
        ),
        (
            "prompts/Spain_prompts.csv",
            "Pregunta: {q}",
            "Pregunta:",
            r"column 'Translation' is .*expected one '\{q\}'",
        ),
    ],
)
def test_bad_files_are_named_to_the_row_and_column(tmp_path, file, old, new, message):
    folder = write(tmp_path)
    edit(folder / file, old, new)
    with pytest.raises(MechclaError, match=message):
        blend_items(["ES"], folder)


def test_a_half_downloaded_file_is_named(tmp_path):
    folder = write(tmp_path)
    path = folder / "annotations" / "Mexico_data.json"
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
    with pytest.raises(
        MechclaError,
        match=(
            r"Mexico_data.json is not JSON at line 1.*It has 200 characters; "
            r"was the download cut off"
        ),
    ):
        blend_items(["ES"], folder)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(MechclaError, match="expected an object from question ids to answers"):
        blend_items(["ES"], folder)
    write(folder)
    (folder / "questions" / "Mexico_questions.csv").rename(
        folder / "questions" / "Mexcio_questions.csv"
    )
    with pytest.raises(
        MechclaError, match=r"Mexico_questions.csv is missing; did you mean 'Mexcio_questions.csv'"
    ):
        blend_items(["ES"], folder)
    write(folder)
    (folder / "questions" / "Mexico_questions.csv").write_text(
        "\ufeff,ID,Topic,Question,Translation\n0,q-soup,Food\n", encoding="utf-8"
    )
    with pytest.raises(MechclaError, match=r"Mexico_questions.csv"):
        blend_items(["ES"], folder)


def test_a_table_in_one_language_twice_is_refused(tmp_path):
    folder = write(tmp_path)
    path = folder / "questions" / "South_Korea_questions.csv"
    rows = [{**r, "Question": r["Translation"]} for r in question_rows("KR", "new")]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(
        MechclaError,
        match=(
            r"expected English in one of the columns .* and South_Korea's language in the other; "
            r"100%"
        ),
    ):
        blend_items(["ES"], folder)
