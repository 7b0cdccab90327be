"""Every command of README and the docs is run by a test, by .ci/run or in small, or the table says
why it cannot be.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch

import mechcla
from tests.docs.pages import PAGES, ROOT, commands, entry_of, python_blocks, table
from tests.sources import blend_folder, global_mmlu_folder, locqa_file
from tests.sources.global_mmlu_folder import parallel

KNOWN = table()
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
HOW = ("check", "test", "ci", "needs")
BLOCK = re.compile(r": python blocks?( \d+)?$")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_commands_are_found_wherever_a_page_shows_them():
    page = (
        "Run `make test` or `python -m\n  mechcla.sweep --help`; `make_table` is a name.\n"
        "    make parity ARGS='-x'\n    not a command\n"
        "```sh\nmake lint  # ruff\npip install x \\\n  -c y\n```\n"
        "```\npython data/build.py   # writes\nas it prints\n```\n"
        "```python\nimport mechcla  # `make quick`\n```\n"
    )
    assert commands(page) == [
        "make lint",
        "pip install x -c y",
        "python data/build.py",
        "python block 1",
        "make parity ARGS='-x'",
        "make test",
        "python -m mechcla.sweep --help",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_has_an_entry(page):
    missing = [c for c in commands(text(page)) if entry_of(page, c, KNOWN) is None]
    assert not missing, f"{page}: say in tests/docs/commands.toml how these are checked: {missing}"


def test_no_entry_is_left_over_and_each_says_how():
    shown = {page: commands(text(page)) for page in PAGES}
    for key, entry in KNOWN.items():
        page = entry["page"]
        if not key.endswith("python blocks"):
            assert entry["command"] in shown[page], f"{page} no longer shows {entry['command']!r}"
        assert set(entry) & set(HOW), f"{key}: none of {', '.join(HOW)}"
        assert set(entry) <= {*HOW, "command", "page", "last"}, key
        if "needs" in entry:
            assert re.match(r"(GPU|network|data): \S", entry["needs"]), key


def test_the_tests_that_the_table_names_exist():
    for key, entry in KNOWN.items():
        if "test" in entry:
            file, name = entry["test"].split("::")
            assert f"def {name}(" in text(file), key


def test_the_lines_of_ci_that_the_table_names_exist():
    for key, entry in KNOWN.items():
        if "ci" in entry:
            assert any(line.split(" ARGS=")[0] == entry["ci"] for line in CI), key
    assert "make check-commands" in CI


def test_a_small_command_is_the_same_command():
    """The same program with every flag of the shown one: values may differ, and more be said."""
    for key, entry in KNOWN.items():
        if "check" not in entry:
            continue
        shown, small = (" ".join(shlex.split(entry[k])) for k in ("command", "check"))
        if shown.startswith("python -c"):
            assert small == shown.replace("BLEnD/data", "{blend}")
            continue
        words = 3 if shown.startswith("python -m") else 2
        assert shown.split()[:words] == small.split()[:words], key
        flags = set(re.findall(r"--[a-z-]+", shown))
        assert flags <= set(re.findall(r"--[a-z-]+", small)), key


def test_the_docs_name_the_commit_at_which_each_long_command_last_ran():
    page = text("docs/commands.md")
    rows = dict(re.findall(r"^\| `([^`]+)` \|.*\| ([0-9a-f]{7,40}) \|$", page, flags=re.MULTILINE))
    assert rows == {e["command"]: e["last"] for e in KNOWN.values() if "last" in e}


def test_every_extra_is_installed_in_ci():
    """Make's recipes that .ci/run reaches name every extra of pyproject.toml, so no test is skipped
    for want of one.
    """
    extras = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    makefile = text("Makefile")
    named = set(",".join(re.findall(r"-e '\.\[([a-z,-]+)\]'", makefile)).split(","))
    inside = {
        name
        for extra in named
        for wanted in extras[extra]
        for name in re.findall(r"^mechcla\[([a-z,-]+)\]", wanted)
    }
    assert named | set(",".join(inside).split(",")) == set(extras)
    assert CI.index("make extras") < next(i for i, line in enumerate(CI) if "make test" in line)
    assert re.search(r"^extras: \$\(EXTRAS\)", makefile, flags=re.MULTILINE)
    assert re.search(r"^\$\(EXTRAS\): \$\(BENCH\)", makefile, flags=re.MULTILINE)
    assert re.search(r"^\$\(BENCH\): \$\(STAMP\)", makefile, flags=re.MULTILINE)


@pytest.fixture
def copies(tmp_path, monkeypatch) -> Path:
    """A working folder with small copies of BLEnD, LocQA and Global-MMLU where the pages have the
    user's own.
    """
    monkeypatch.chdir(tmp_path)
    blend_folder.write(tmp_path / "BLEnD" / "data")
    locqa_file.write(tmp_path)
    global_mmlu_folder.save(tmp_path / "global", parallel("en", "es", "ko"))
    return tmp_path


def test_the_block_on_locqa_runs(copies, capsys):
    names: dict[str, object] = {}
    (code,) = python_blocks("docs/locqa.md")
    exec(compile(code, "docs/locqa.md", "exec"), names)
    assert names["items"].languages == ("en", "en-GB", "en-CA", "es", "es-MX", "fr")
    assert {q.language for q in names["open_"]} == {"fr", "fr-CA", "fr-ML", "fr-HT"}
    assert "in 49 places" in capsys.readouterr().out


def test_the_block_on_blend_runs(copies, capsys):
    names: dict[str, object] = {}
    (code,) = python_blocks("docs/blend.md")
    exec(compile(code, "docs/blend.md", "exec"), names)
    assert names["items"].languages == ("es", "ko")
    assert names["pairs"].languages == ("es", "es-MX")
    assert {q.country for q in names["open_"]} == {"KR"}
    assert "5 items of 20 valid questions in 4 regions" in capsys.readouterr().out


def test_the_block_on_other_items_runs(copies, tiny, small_items):
    """With the hub's Global-MMLU in a folder, few items to choose on, and the other names from a
    tiny model.
    """
    code = python_blocks("docs/howto.md")[1]
    for printed, here in (
        ('"global_mmlu",', f'"global_mmlu", path={str(copies / "global")!r},'),
        ("configure(model, items,", "configure(model, few,"),
    ):
        assert code.count(printed) == 1
        code = code.replace(printed, here)
    test = small_items.language("es").test
    loc = mechcla.loc_vectors(tiny, small_items.cultural.dev)
    sur = mechcla.loc_steering(loc, language="es", layer=2, strength=2.0)
    names = {
        "mechcla": mechcla,
        "model": tiny,
        "few": small_items,
        "sur": sur,
        "base": mechcla.score(tiny, test),
        "steered": mechcla.score(tiny, test, interventions=sur),
        "questions": mechcla.sources.blend.blend_questions(["ES"], path=copies / "BLEnD" / "data"),
    }
    exec(compile(code, "docs/howto.md", "exec"), names)
    assert names["items"].languages == ("en", "es", "ko")
    assert len(names["answers"]) == len(names["questions"])


def test_the_block_on_global_mmlu_runs(copies):
    (code,) = python_blocks("docs/guides/global_mmlu.md")
    here = copies / "global"
    here.rename(copies / "my_global_mmlu")
    names: dict[str, object] = {"mechcla": mechcla}
    exec(compile(code, "docs/guides/global_mmlu.md", "exec"), names)
    assert names["items"].languages == ("en", "es", "ko")


def test_the_block_on_vectors_runs(tiny, small_items, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"mechcla": mechcla, "model": tiny, "items": small_items}
    code = python_blocks("docs/howto.md")[2].replace('["es"][9]', '["es"][2]')  # four blocks
    exec(compile(code, "docs/howto.md", "exec"), names)
    read = mechcla.SteeringVectors.load("en.safetensors")
    assert torch.equal(read["es"], names["mine"]["es"])
    assert torch.equal(read["es"][2], names["one"])
