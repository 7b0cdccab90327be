"""The page of a run: what is in it, that it is the run's, and that nothing in it is markup."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

import mechcla
from mechcla.__main__ import main
from mechcla.errors import MechclaError
from mechcla.items.item import RIGHT
from mechcla.report.document import page_data
from mechcla.report.rendering import as_json
from mechcla.report.rendering import html as render
from mechcla.runs.folder import PAGE
from mechcla.sweep import sweep as sweeping
from tests.report.conftest import HOSTILE, LANGUAGE, NAME, data_of


class Elements(html.parser.HTMLParser):
    """Every start tag with its attributes, as a browser would find them; and the scripts' texts."""

    def __init__(self, page: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data


def numbers(path: Path) -> list[dict[str, object]]:
    """A table of the run as Python's csv reads it: texts, and numbers as floats."""
    texts = {"method", "against", "metric", "language", "measure", "condition", "exact"}
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {
                k: v if k in texts else (float(v) if v not in ("", "nan") else None)
                for k, v in row.items()
            }
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("name", ["summary", "tests", "arms", "contrast"])
def test_every_number_of_the_tables_is_the_runs(hostile_run, hostile_page, name):
    table = data_of(hostile_page)["runs"][0][name]
    expected = numbers(hostile_run / f"{name}.csv")
    assert expected
    assert len(table["rows"]) == len(expected)
    for row, right in zip(table["rows"], expected, strict=True):
        mine = dict(zip(table["columns"], row, strict=True))
        assert set(mine) == set(right)
        for column, value in right.items():
            assert str(mine[column]) == value if column == "exact" else mine[column] == value


def test_layers_and_dev_are_what_the_figures_drew(hostile_run, hostile_page):
    run = data_of(hostile_page)["runs"][0]
    drawn = json.loads((hostile_run / "figures" / "fig4_layers.json").read_text("utf-8"))
    assert set(run["perpendicularity"]["layers"]) == set(drawn["cosine"]) == {"es", "fa", LANGUAGE}
    for language, cosine in drawn["cosine"].items():
        mine = run["perpendicularity"]["layers"][language]
        assert mine == pytest.approx([1 - abs(c) for c in cosine], abs=1e-6)
    assert len(drawn["cells"]) > 4
    for cell in drawn["cells"]:
        mine = run["dev"]["methods"][cell["name"]]
        assert mine["gains"] == cell["by_language"]
        assert mine["family"] == cell["family"]
    choices = json.loads((hostile_run / "selection.json").read_text("utf-8"))["choices"]
    assert len(choices) == len(run["dev"]["choices"]) == 3
    for mine, choice in zip(run["dev"]["choices"], choices, strict=True):
        assert [p[0] for p in mine["front"]] == [p["name"] for p in choice["pareto_front"]]
        assert mine["chosen"] == {f: p["name"] for f, p in choice["chosen"].items()}
        for found, point in zip(mine["points"], choice["points"], strict=True):
            assert found == [point["name"], point["d_transfer"], point["d_localization"]]


def test_every_item_has_its_shares_choice_and_flip_under_every_condition(hostile_run, hostile_page):
    data, run = data_of(hostile_page), mechcla.read_run(hostile_run)
    items, scored = data["items"], data["runs"][0]["scored"]
    at = {key: k for k, key in enumerate(zip(items["id"], items["language"], items["kind"]))}  # noqa: B905
    assert len(at) == len(run.item_set.test) == len(items["id"])
    seen, flips = 0, 0
    for row in run.items():
        k = at[row["id"], row["language"], row["kind"]]
        mine, base = scored[row["condition"]], scored["unsteered"]
        roles, chosen = items["roles"][k], mine["choice"][k]
        assert items["candidates"][k][chosen] == row["choice"]
        assert roles[chosen] == row["role"]
        right = roles.index(RIGHT[row["kind"]])
        assert mine["shares"][k][right] == round(row["share"] * data["digits"])
        assert abs(sum(mine["shares"][k]) - data["digits"]) <= len(roles) / 2
        was, now = roles[base["choice"][k]], roles[chosen]
        assert row["flipped"] == ("" if was == now else f"{was} -> {now}")
        form = {"implicit": "prompt", "explicit": "prompt_explicit", "us": "prompt_us"}
        asked = items[form[mine["form"]]][k] if row["kind"] == "cultural" else items["prompt"][k]
        assert row["prompt"] == (asked or items["prompt_explicit"][k])
        seen, flips = seen + 1, flips + (was != now)
    assert seen == sum(s is not None for c in scored.values() for s in c["shares"])
    assert flips


def test_no_text_of_a_run_is_markup(hostile_page, hostile_run):
    text = hostile_page.read_text(encoding="utf-8")
    data = data_of(hostile_page)
    assert HOSTILE in {t for texts in data["items"]["candidates"] for t in texts}
    assert any(HOSTILE in i for i in data["items"]["id"])
    assert HOSTILE in data["items"]["topic"]
    assert data["runs"][0]["model"] == NAME
    assert data["runs"][0]["name"] == hostile_run.name
    assert LANGUAGE in data["runs"][0]["languages"]
    found = Elements(hostile_page)
    names = {tag for tag, _ in found.tags}
    assert not names & {"img", "iframe", "object", "embed", "svg", "base", "link"}
    assert not [a for _, attributes in found.tags for a in attributes if a.startswith("on")]
    assert len(found.scripts) == text.count("<script") == 3
    assert "hacked" not in found.scripts[1] + found.scripts[2]
    assert str(hostile_run.parent) not in text  # a page that is shared tells no folder


def test_json_in_a_script_element_ends_nothing():
    value = {"<!--": ["</script>", "<script>", "&amp;", "a\u2028b", float("nan"), float("inf")]}
    made = as_json(value)
    assert not set(made) & set("<>&\u2028\u2029")
    assert json.loads(made) == {"<!--": ["</script>", "<script>", "&amp;", "a\u2028b", None, None]}


def test_nothing_is_loaded_and_only_these_scripts_may_run(hostile_page):
    found = Elements(hostile_page)
    addresses = [
        (tag, value)
        for tag, attributes in found.tags
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "poster", "srcset") and value[:1] != "#"
    ]
    assert addresses == []
    style = re.search(r"<style>(.*?)</style>", hostile_page.read_text("utf-8"), re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    policies = [a["content"] for t, a in found.tags if t == "meta" and "http-equiv" in a]
    assert len(policies) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in policies[0].split(";"))
    assert rules["default-src"] == "'none'"
    library = gzip.decompress(base64.b64decode(found.scripts[1])).decode()
    assert library == get_plotlyjs()
    hashes = [
        base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()
        for t in (found.scripts[2], library)
    ]
    assert rules["script-src"].split() == [f"'sha256-{h}'" for h in hashes]
    assert not re.search(r"https?://", found.scripts[2])


def test_a_page_of_the_demos_size_is_under_6_mb(hostile_run):
    """As many items as the demo's test: 882, with its prompts of 200 characters, 13 conditions."""
    data = page_data({"run": mechcla.read_run(hostile_run)})
    empty = len(render({**data, "items": {}, "runs": [{**data["runs"][0], "scored": {}}]}).encode())
    one = {k: v[:1] for k, v in data["items"].items()}
    prompts = {k: ["x" * 200] for k in ("prompt", "prompt_explicit", "prompt_us")}
    per_item = len(as_json({**one, **prompts})) + 13 * len(as_json([[2500] * 4, 3]))
    tables = 1_000_000  # docs/reference/demo holds 225,000 bytes of them
    assert empty + 882 * per_item + tables < 6_000_000


def test_two_runs_beside_each_other_are_compared(both_page, hostile_run, plain_run):
    data = data_of(both_page)
    assert [r["name"] for r in data["runs"]] == [hostile_run.name, plain_run.name]
    items = data["items"]
    keys = set(zip(items["id"], items["language"], items["kind"], strict=True))
    assert len(keys) == len(items["id"])  # what both asked is there once
    for measure in ("share", "accuracy"):
        expected = mechcla.compare_runs([hostile_run, plain_run], measure).rows()
        table = data["comparison"]["values"]
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
        mine = [row for row in rows if row["measure"] == measure]
        assert mine == json.loads(as_json(list(expected)))
    assert [d[0] for d in data["comparison"]["differing"]].count("model") == 1
    other = mechcla.read_run(plain_run)
    scored = data["runs"][1]["scored"]["unsteered"]
    assert sum(s is not None for s in scored["shares"]) == len(other.item_set.test)


def test_runs_that_share_no_item_stand_beside_each_other_with_the_reason(
    plain_run, tmp_path, monkeypatch
):
    data = page_data({"a": mechcla.read_run(plain_run), "b": mechcla.read_run(plain_run)})
    assert "is given twice" in data["comparison"]["why_not"]
    assert "is given twice" in render(data)


def test_the_command_writes_the_page_and_refuses_what_is_none(plain_run, tmp_path, capsys):
    out = tmp_path / "deep" / "page.html"
    assert main(["report", str(plain_run), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"Page: {out}\n"
    assert out.read_bytes() == (plain_run / PAGE).read_bytes()  # the sweep's own
    for arguments, message in (
        ([str(tmp_path / "no")], "holds no run"),
        ([str(plain_run), str(plain_run)], "is given twice"),
        ([str(plain_run), "--out", str(tmp_path)], "is a folder; expected e.g."),
        ([str(plain_run), "--wide"], "report --help"),
        ([], "RUNS; see report --help"),
    ):
        assert main(["report", *arguments]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert "Traceback" not in said
    with pytest.raises(MechclaError, match="report needs a run"):
        mechcla.report([])


def test_an_unfinished_or_damaged_run_is_refused(plain_run, tmp_path):
    copy = Path(shutil.copytree(plain_run, tmp_path / "copy"))
    (copy / "summary.csv").write_text("method\n", encoding="utf-8")
    with pytest.raises(MechclaError, match=r"summary\.csv .* does not match its digest"):
        mechcla.report(copy)
    (copy / "status.json").unlink()
    with pytest.raises(MechclaError, match=r"is not complete .* so it cannot be reported"):
        mechcla.report(copy)


def test_a_run_is_complete_where_the_page_cannot_be_drawn(plain_run, tmp_path, capsys, monkeypatch):
    copy = Path(shutil.copytree(plain_run, tmp_path / "copy"))
    (copy / PAGE).unlink()
    (copy / PAGE).mkdir()  # what a page cannot be written over
    run, said = mechcla.read_run(copy), []
    sweeping.draw_page(run, said.append)
    assert said == []
    assert "the page could not be drawn (MechclaError: " in capsys.readouterr().err
    assert mechcla.read_run(copy).status == "complete"
    monkeypatch.setitem(sys.modules, "plotly", None)  # as where it is not installed
    sweeping.draw_page(run, said.append)
    assert "mechcla[report]" in said[0]


def test_without_the_extra_one_message_says_what_to_install(plain_run, tmp_path):
    code = (
        "import sys; sys.modules['plotly'] = None; from mechcla.__main__ import main; "
        f"sys.exit(main(['report', {str(plain_run)!r}, '--out', {str(tmp_path / 'p.html')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs 'plotly'" in done.stderr
    assert "mechcla[report]" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_decides_no_number(plain_run, tmp_path):
    """A page is no part of a run: the folder reads as before, whatever became of it."""
    before = {p.name for p in plain_run.iterdir()}
    assert PAGE in before
    copy = Path(shutil.copytree(plain_run, tmp_path / "copy"))
    (copy / PAGE).write_text("edited", encoding="utf-8")
    assert mechcla.read_run(copy).status == "complete"
    after, here = (as_json(list(mechcla.read_run(f).summary)) for f in (copy, plain_run))
    assert after == here
