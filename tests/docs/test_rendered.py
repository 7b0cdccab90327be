"""Numbers of README and the docs are those of the committed tables, and a wrong digit is found."""

from __future__ import annotations

import json
import re
import shutil
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import pytest

import mechcla
from analyses.docs import take
from analyses.docs.__main__ import main
from analyses.docs.pages import MARKED, ROOT, changes, render
from analyses.docs.tables import TABLES
from analyses.docs.values import FOLDER, amount, read, shown
from mechcla import MechclaError, wrap_model
from tests.runs import fault_injection

PAGES = ["README.md"] + [
    f"docs/{name}.md"
    for name in ("results", "figures", "method", "blend", "benchmarks", "parity", "reliability")
]
SUMMARY = """\
method,language,metric,measure,value,low,high,n,difference,difference_low,difference_high
LOC,es,localization,share,0.5471,0.4,0.7,66,0.1194,0.0631,0.18
LOC,ko,localization,share,0.31,0.2,0.4,61,0.0084,-0.0049,0.024
LOC,all,localization,share,0.62049,0.57249,0.66951,127,0.04849,0.03251,0.06449
LOC,all,localization,accuracy,0.7,0.6,0.8,127,-0.0004,-0.02,0.02
"""


@pytest.fixture
def small(tmp_path) -> Path:
    """A folder of tables that can be read with the eye."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "summary.csv").write_text(SUMMARY)
    (tmp_path / "speed.json").write_text('{"commit": "abc", "paths": [{"tool": "a", "s": "9.7"}]}')
    read.cache_clear()
    return tmp_path


@pytest.fixture
def copy(tmp_path) -> Path:
    """The pages and their tables, elsewhere."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copyfile(ROOT / "README.md", tmp_path / "README.md")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("demo/summary LOC localization difference", "+0.048 [0.033, 0.064]"),
        ("demo/summary LOC localization difference alone .2", "+0.05"),
        ("demo/summary LOC localization value", "0.620 [0.572, 0.670]"),
        ("demo/summary accuracy difference", "0.000 [-0.020, 0.020]"),
        ("demo/summary es value .2", "0.55 [0.40, 0.70]"),
        ("demo/summary language=ko n", "61"),
        ("demo/summary mean value .2", "0.43"),  # (0.5471 + 0.31) / 2, by hand
        ("demo/summary share range value .2", "0.31 to 0.55"),
        ("demo/summary share ends value .2", "0.31 (ko) to 0.55 (es)"),
        ("demo/summary share each n", "es 66, ko 61"),
        ("demo/summary share count", "2"),
        ("demo/summary share count difference>0.05", "1"),
        ("demo/summary share count low>high", "0"),
        ("speed commit", "abc"),
        ("speed/paths a s", "9.7"),
    ],
)
def test_a_value_by_hand(small, words, expected):
    assert shown(words, small) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("demo/sumary LOC value", r"no table 'demo/sumary' .* did you mean 'demo/summary'"),
        ("demo/summary LOK value", r"no column or cell 'LOK'; did you mean 'LOC'"),
        ("demo/summary langage=es value", r"no column 'langage'; did you mean 'language'"),
        ("demo/summary language!=all value", r"2 rows are meant, expected one; say more of method"),
        ("demo/summary es accuracy value", r"0 rows are meant"),
        ("demo/summary LOC value n", r"two columns"),
        ("speed comit", r"speed has no 'comit' here; did you mean 'commit'"),
    ],
)
def test_words_that_mean_nothing_are_one_message(small, words, message):
    with pytest.raises(MechclaError, match=message):
        shown(words, small)


def test_a_wrong_marker_names_page_and_line(small):
    text = (
        "Title\n\nx <!-- = demo/summary LOK value -->1<!-- / -->\n"
        "<!-- = demo/summary es n -->66<!-- / --> begins\n"
        "a <!-- = demo/summary es n -->66 is open\n"
        "0.123 and 0.05 <!-- typed: 0.05 (a level) -->\n"
        "<!-- holds: demo/summary es difference > 0.2 -->\n"
        "<!-- holds: demo/summary es difference > demo/summary ko difference -->\n"
    )
    _, faults = render(text, "page.md", small)
    said = [str(f) for f in faults]
    assert [s.split(": ")[0] for s in said] == [f"page.md:{n}" for n in (3, 4, 5, 6, 7)]
    assert "did you mean 'LOC'" in said[0]
    assert "begins its line" in said[1]
    assert "has no partner" in said[2]
    assert said[3].endswith("0.123 is typed by hand")
    assert "no longer holds: demo/summary es difference > 0.2 (0.1194 and 0.2)" in said[4]


def test_pages_are_written_from_the_tables(copy, capsys):
    page = copy / "docs" / "results.md"
    text = page.read_text(encoding="utf-8")
    match = next(m for m in MARKED.finditer(text) if re.search(r"\d\.\d", m["stands"]))
    at = text.index(".", match.start("stands")) + 1
    other = str((int(text[at]) + 1) % 10)
    page.write_text(text[:at] + other + text[at + 1 :], encoding="utf-8")
    line = text.count("\n", 0, at) + 1

    assert main(["--check"], copy) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"docs/results.md:{line}: stands ")
    stands, says = re.findall(r"'(.*?)'", said)[:2]
    assert sum(a != b for a, b in zip(stands, says, strict=True)) == 1

    assert main([], copy) == 0
    assert page.read_text(encoding="utf-8") == text
    assert main(["--check"], copy) == 0


@pytest.mark.parametrize("name", PAGES)
def test_every_number_of_a_page_is_the_tables_and_every_other_digit_is_found(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    made, faults = render(text, name)
    assert not faults, "\n".join(map(str, faults))
    assert made == text, "\n".join(map(str, changes(text, made, name)))
    found = [m for m in MARKED.finditer(text) if re.search(r"\d", m["stands"])]
    assert found
    for match in found:
        at = match.start("stands") + re.search(r"\d", match["stands"]).start()
        wrong = text[:at] + str((int(text[at]) + 5) % 10) + text[at + 1 :]
        [fault] = changes(wrong, made, name)
        assert fault.line == text.count("\n", 0, at) + 1


def test_a_change_of_the_summary_by_hand_from_the_file():
    """The row is found as text and rounded by the decimal module."""
    lines = (FOLDER / "demo" / "summary.csv").read_text().splitlines()
    [line] = [x for x in lines if x.startswith("LOC,all,localization,share,")]
    value, low, high = (
        Decimal(x).quantize(Decimal("0.001"), ROUND_HALF_EVEN) for x in line.split(",")[8:11]
    )
    by_hand = f"{value:+f} [{low:f}, {high:f}]"
    assert shown("demo/summary LOC localization difference") == by_hand
    assert by_hand in (ROOT / "README.md").read_text(encoding="utf-8")


def test_bold_is_what_the_tests_say():
    """README's rows, from the lines of tests.csv."""
    lines = (FOLDER / "demo" / "tests.csv").read_text().splitlines()
    page = TABLES["three-results"](FOLDER)
    assert page in (ROOT / "README.md").read_text(encoding="utf-8")
    names = {"EN": "EN-steering", "LOC": "LOC-steering", "SUR": "Surgical Steering"}
    for method, label in names.items():
        [row] = [x for x in page.splitlines() if label in x]
        cells = [c.strip() for c in row.split("|")]
        for column, metric in ((3, "transfer"), (4, "localization")):
            [line] = [x for x in lines if x.startswith(f"{method},unsteered,{metric},all,share,")]
            assert cells[column].startswith("**") == (float(line.split(",")[9]) < 0.05)


def test_the_faults_are_the_suites_own_table():
    report = json.loads((FOLDER / "reliability.json").read_text(encoding="utf-8"))
    ours = [re.findall(r"[^|]+", x) for x in TABLES["faults"](FOLDER).splitlines()]
    whole = fault_injection.table(report).partition("\n\n")[0]
    theirs = [re.findall(r"[^|]+", x) for x in whole.splitlines()]
    strip = [[c.strip(" -") for c in row] for row in ours]
    assert strip == [[c.strip(" -") for c in row] for row in theirs]
    assert amount("reliability files") == report["files"]


def test_the_tables_of_a_run_are_taken(tiny_models, small_items, tmp_path, monkeypatch, capsys):
    """A model and items that are held, so that the run names no folder."""
    monkeypatch.chdir(tmp_path)
    model = wrap_model(tiny_models["llama"].bridge, name="tiny")
    few = {"layers": [0, 2], "restore": False, "controls": False, "resamples": 100}
    mechcla.run_sweep(model, small_items, out="run", **few)
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "curve.csv").write_text("layer,value\n0,1.5\n")
    (figures / "plane.png").write_bytes(b"new")
    docs = tmp_path / "docs"
    (docs / "img").mkdir(parents=True)
    (docs / "img" / "plane.png").write_bytes(b"old")
    (docs / "reference" / "demo").mkdir(parents=True)
    (docs / "reference" / "demo" / "old.csv").write_text("of the run before")
    (tmp_path / "README.md").write_text("n is <!-- = figures/curve value layer=0 .1 -->9<!-- / -->")

    assert main(["--take", "run", "figures"], tmp_path) == 0
    taken = docs / "reference" / "demo"
    tables = {"summary.csv", "tests.csv", "arms.csv", "contrast.csv", "selection.json"}
    assert {p.name for p in taken.iterdir()} == tables | {"record.json", "config.yaml"}
    for name in tables:
        assert (taken / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    assert (docs / "img" / "plane.png").read_bytes() == b"new"
    assert "-->1.5<!--" in (tmp_path / "README.md").read_text()
    assert main(["--tables", "run"], tmp_path) == 0
    assert {p.name for p in (docs / "reference" / "run").iterdir()} == {
        p.name for p in taken.iterdir()
    }

    capsys.readouterr()
    (figures / "curve.csv").write_text(f"layer,value,from\n0,2.5,{tmp_path}\n")
    assert main(["--take", "run", "figures"], tmp_path) == 2
    assert f"curve.csv names '{tmp_path}', a path of this machine" in capsys.readouterr().err
    table = tmp_path / "run" / "summary.csv"
    table.write_text(table.read_text().replace("0.", "0.1", 1))
    assert main(["--take", "run", "figures"], tmp_path) == 2
    assert "does not match its digest" in capsys.readouterr().err
    assert (docs / "reference" / "figures" / "curve.csv").read_text() == "layer,value\n0,1.5\n"


def test_the_tables_of_the_alignment_are_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "figures"
    made.mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "in <!-- = align_run/time seconds part=all .1 -->0<!-- / -->"
    )
    for name in take.ALIGN[1:]:
        (made / f"align_{name}.csv").write_text("part,seconds\nall,2.5\n")
    assert main(["--align", "figures"], tmp_path) == 2
    assert "has no align_plane.csv" in capsys.readouterr().err
    (made / "align_plane.csv").write_text("part,seconds\nall,2.5\n")
    assert main(["--align", "figures"], tmp_path) == 0
    assert "-->2.5<!--" in (tmp_path / "README.md").read_text()
