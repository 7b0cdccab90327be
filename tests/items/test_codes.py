"""Language codes, ids and texts: what would leave a folder, hide in a spreadsheet or break a file
is refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.items.open_item import AnswerGroup, OpenItem
from mechcla.items.study import Study
from mechcla.items.texts import LONGEST_ID, check_language
from mechcla.sources.columns import Columns, Constants, item_of
from mechcla.sources.hub import read_hub
from mechcla.sources.tables import Row, collect
from tests.conftest import cultural, universal

ROOT = Path(__file__).parents[2]
NO_CODES = [
    "../../../../outside",
    "/etc",
    "..",
    ".",
    "es/../ko",
    "es\\ko",
    "=cmd|' /C calc'!A0",
    "+1",
    "@sum",
    "-x",
    "_x",
    "es ko",
    " es",
    "es\n",
    "es\x00",
    "español",
    "CON:",
    "",
    "x" * 36,
    "all",
    "All",
]
CODES = ["es", "zh-Hans", "pt_BR", "eng_Latn", "de-1996", "i-klingon", "x" * 35, "1a"]
ITEM = replace(
    cultural("c", "es", "ES", "Bebemos", "Vivo en España.", "vino", "tea", "té", "agua"),
    source="ours",
    licence="MIT",
)
OPEN = OpenItem(
    "q",
    "es",
    "ES",
    "dev",
    "drink",
    "¿Qué bebemos?",
    "¿Qué se bebe en España?",
    (AnswerGroup(("vino",), ("wine",), 3),),
    (AnswerGroup(("café",), ("coffee",), 2),),
    "ours",
    "MIT",
)


@pytest.mark.parametrize("code", NO_CODES, ids=repr)
def test_what_is_no_language_code_is_refused_and_shown(code):
    makers = [
        lambda: universal("q", code, "The capital is", "Lima", "Quito"),
        lambda: replace(OPEN, language=code),
        lambda: mechcla.load_items("demo", languages=["es", code]),
        lambda: read_hub("none", Columns(id="id"), config={"en": "a", code: "b"}),
    ]
    for make in makers:
        with pytest.raises(MechclaError) as caught:
            make()
        assert f"'language' is {code!r}" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", CODES)
def test_codes_in_use_are_taken(code):
    assert universal("q", code, "The capital is", "Lima", "Quito").language == code
    assert replace(OPEN, language=code).language == code


@given(st.text(st.characters(codec="utf-8"), max_size=40))
@example("../up")
@example("aux.")
def test_a_code_that_is_taken_is_one_name_in_its_folder(code):
    """Whatever passes is a plain file name, its own on any system, and nothing that a spreadsheet
    computes.
    """
    try:
        check_language(code)
    except MechclaError:
        return
    for system in (PurePosixPath, PureWindowsPath):
        assert system("cells", code).parts == ("cells", code)
    assert Path("cells", code).resolve().parent == Path("cells").resolve()
    assert code[0] not in "=+-@\t\r"
    assert code.isascii()


@pytest.mark.parametrize(
    ("id", "said"),
    [
        ("a\nb", r"'id' is 'a\\nb', which holds the control character U\+000A at place 1"),
        ("a\x1b[2J", r"holds the control character U\+001B at place 1"),
        ("a\u2028b", r"holds the control character U\+2028 at place 1"),
        ("a\x00", r"holds NUL \(U\+0000\) at place 1"),
        ("a\ud83d", r"holds half a character, U\+D83D at place 1"),
        ("x" * (LONGEST_ID + 1), "has 513 characters; an id has at most 512"),
        ("", "'id' is (''|empty); expected a "),
    ],
    ids=range(7),
)
def test_what_is_no_id_is_refused_and_said(id, said):
    for make in (
        lambda: universal(id, "en", "The capital is", "Lima", "Quito"),
        lambda: replace(OPEN, id=id),
    ):
        with pytest.raises(MechclaError, match=said) as caught:
            make()
        assert len(str(caught.value)) < 400


def test_ids_of_any_script_and_shape_are_taken():
    for id in (
        "Al-en-06",
        "https://a.org/b?c=d/3",
        "../x",
        "=1",
        "質問 7",
        "é" * LONGEST_ID,
        "all",
    ):
        assert universal(id, "en", "The capital is", "Lima", "Quito").id == id
        assert replace(OPEN, id=id).id == id


@pytest.mark.parametrize("broken", ["\ud83d", "La capital \ud83d es", "\udc00x", "a\x00b"])
def test_half_a_character_and_nul_are_refused_in_every_text(broken):
    """The fields are read off the class, so that a new one is tried too."""
    what = "NUL" if "\x00" in broken else "half a character"
    tried = 0
    for field in fields(Item):
        if isinstance(getattr(ITEM, field.name), str) and field.name not in (
            "language",
            "kind",
            "split",
        ):
            with pytest.raises(MechclaError, match=f"'{field.name}' is .* which holds {what}"):
                replace(ITEM, **{field.name: broken})
            tried += 1
    assert tried == 9
    for name in ("text", "country"):
        bad = Candidate(**{"text": "té", "role": "other", name: broken})
        with pytest.raises(MechclaError, match=f"'{name}' of candidate 1 is .* which holds {what}"):
            replace(ITEM, candidates=(ITEM.candidates[0], bad))
    for field in fields(OpenItem):
        if isinstance(getattr(OPEN, field.name), str) and field.name not in ("language", "split"):
            with pytest.raises(MechclaError, match=f"'{field.name}' is .* which holds {what}"):
                replace(OPEN, **{field.name: broken})
        if field.name.endswith("groups"):
            for group in (AnswerGroup((broken,), ("x",), 1), AnswerGroup(("x",), ("y", broken), 1)):
                with pytest.raises(MechclaError, match=f"in '{field.name}' is .* holds {what}"):
                    replace(OPEN, **{field.name: (group,)})


@given(st.text(st.characters(exclude_characters="\x00"), min_size=1, max_size=8).filter(str.strip))
def test_what_is_taken_can_be_written_and_digested(text):
    """Python's own encoder is the judge: an item is made exactly where its texts can be encoded."""
    try:
        text.encode()
        sound = True
    except UnicodeEncodeError:
        sound = False
    try:
        item = universal("q", "en", text, "Lima", text)
    except MechclaError:
        assert not sound
        return
    assert sound
    assert len(ItemSet((item,)).digest) == 64


OTHER_TYPES = """
import json, sys
from dataclasses import replace
from pathlib import Path
import mechcla
from mechcla.items.item import Candidate, Item
from mechcla.items.open_item import AnswerGroup, OpenItem

deep = []
for _ in range(100_000):
    deep = [deep]
item = Item("q", "es", "universal", "dev", "La capital es",
            (Candidate("Lima", "correct"), Candidate("Quito", "wrong")))
asked = OpenItem("q", "es", "ES", "dev", "", None, "En España", (AnswerGroup(("a",), ("b",), 1),))
path = Path(sys.argv[1])
def line(text):
    path.write_text(text)
    return mechcla.load_items(path)
row = json.dumps(item.to_dict())
for make in (
    lambda: replace(item, id=7),
    lambda: replace(item, id=10**5000),
    lambda: replace(item, language=None),
    lambda: replace(item, language=["es"]),
    lambda: replace(item, kind=7),
    lambda: replace(item, country=deep),
    lambda: replace(item, candidates=(item.candidates[0], Candidate("té", "wrong", ["ES"]))),
    lambda: replace(item, candidates=(item.candidates[0], Candidate(7, "wrong"))),
    lambda: Item.from_dict({**item.to_dict(), "candidates": 5}),
    lambda: Item.from_dict({**item.to_dict(), "candidates": None}),
    lambda: replace(asked, id=7),
    lambda: replace(asked, language=7),
    lambda: replace(asked, country=7),
    lambda: replace(asked, split=7),
    lambda: mechcla.load_items("demo", languages=["es", 7]),
    lambda: line(row.replace('"q"', "NaN")),
    lambda: line(row.replace('"q"', "1e999")),
):
    try:
        print("made:", make())
    except mechcla.MechclaError as error:
        print(error)
"""


def test_values_of_another_type_are_shown_not_stumbled_over(tmp_path):
    """In a process of its own, where no type checker stands before mechcla's own checks."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER_TYPES, str(tmp_path / "i.jsonl")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    code = "expected a code of 1 to 35 letters"
    expected = [
        "item 7 (es): 'id' is 7; expected a non-empty text",
        (
            "item a number of more than 4,300 digits (es): "
            "'id' is a number of more than 4,300 digits; "
        ),
        f"item 'q': 'language' is None; {code}",
        f"item 'q': 'language' is ['es']; {code}",
        "item 'q' (es): 'kind' is 7; known: universal, cultural",
        "item 'q' (es): 'country' is a list nested too deeply to show; expected a text or nothing",
        "item 'q' (es): the country of candidate 'té' is ['ES']; expected a text or nothing",
        "item 'q' (es): a candidate's text is 7; expected a text",
        "item 'q': 'candidates' is 5; expected a list of objects",
        "item 'q': 'candidates' is None; expected a list of objects",
        "question 7 (es): 'id' is 7; expected a text",
        f"question 'q': 'language' is 7; {code}",
        "question 'q' (es): 'country' is 7; expected a text",
        "question 'q' (es): 'split' is 7; known: dev, test",
        f"languages: 'language' is 7; {code}",
        f"{tmp_path}/i.jsonl, line 1: item nan (es): 'id' is nan; expected a non-empty text",
        f"{tmp_path}/i.jsonl, line 1: item inf (es): 'id' is inf; expected a non-empty text",
    ]
    said = done.stdout.splitlines()
    assert len(said) == len(expected)
    for ours, theirs in zip(said, expected, strict=True):
        assert ours.startswith(theirs)


@pytest.mark.parametrize("column", ["q", "a", "b", "key", "topic", "where", "cue"])
def test_half_a_character_in_a_foreign_table_is_a_bad_row(column):
    """Whatever column of a row it stands in, if a field is made of it."""
    cells = {
        "q": "La capital es",
        "a": "Lima",
        "b": "Quito",
        "key": "k",
        "topic": "t",
        "where": "PE",
    }
    cells |= {"cue": "En Perú. La capital es", "right": 0}
    mapping = Columns(
        prompt="{q}\n-",
        choices=("a", "b"),
        answer="right",
        id="key",
        topic="topic",
        country="where",
        prompt_explicit="cue",
    )
    rows = [
        Row("t, row 1", {**cells, "key": "other"}),
        Row("t, row 2", {**cells, column: "x\ud83d"}),
    ]
    make = partial(item_of, columns=mapping, constants=Constants(language="es"))
    made, left_out = collect(rows, make, "skip")
    assert [i.id for i in made] == ["other"]
    assert [s.what for s in left_out] == ["t, row 2"]
    with pytest.raises(MechclaError, match=r"t, row 2: .* which holds half a character"):
        collect(rows, make)


def test_a_frozen_choice_with_half_a_character_is_refused():
    """Its digest could not be taken later, when test is open already."""
    study = Study(
        ItemSet(tuple(universal(s, "en", "p", "a", "b", split=s) for s in ("dev", "test")))
    )
    with pytest.raises(MechclaError, match="the choice is not JSON"):
        study.freeze({"note": "\ud83d"})
    assert len(study.freeze({"note": "🍵"}).digest) == 64
