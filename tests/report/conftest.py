"""Two small runs: one whose every text would like to be markup, and one beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mechcla
from mechcla import ItemSet
from mechcla.sweep.__main__ import main
from tests.conftest import cultural, save_tiny, universal

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>&lt;"
NAME = "<img src=x onerror=window.hacked=1>"  # of folders, where no slash can be
PERSIAN = "پایتخت ژاپن شهر"
LANGUAGE = "constructor"  # a code like any other, and a key of every object of JavaScript


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests in a browser run where they are asked for: `make test-browser`."""
    if "browser" in (config.getoption("markexpr") or ""):
        return
    left = [i for i in items if i.get_closest_marker("browser")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [i for i in items if not i.get_closest_marker("browser")]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser: the system's own."""
    from playwright.sync_api import sync_playwright

    path = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    assert path, "make test-browser installs Chromium; or CHROMIUM=path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def hostile_items(small: ItemSet) -> ItemSet:
    """The small items, and some whose id, topic, prompt and answers are markup; Persian ones; ones
    in a language of an unlucky name.
    """
    added = []
    for split in ("dev", "test"):
        for language, prompt in (("en", HOSTILE), ("fa", PERSIAN), (LANGUAGE, HOSTILE[9:])):
            asked = universal(f"{HOSTILE}{split}", language, prompt, "Tokyo", HOSTILE, split=split)
            added.append(replace(asked, topic=HOSTILE))
            country = "US" if language == "en" else "IR"
            answers = ("milk", "دوغ", HOSTILE) if language == "en" else ("دوغ", "milk", HOSTILE)
            item = cultural(
                f"drink{HOSTILE}{split}",
                language,
                country,
                prompt,
                "I am here.",
                *answers,
                split=split,
            )
            added.append(replace(item, topic=HOSTILE))
    return ItemSet((*small, *added))


def sweep(base: Path, name: str, model: Path, items: ItemSet, *more: str) -> Path:
    items.to_jsonl(base / "items.jsonl")
    arguments = ["--model", str(model), "--items", str(base / "items.jsonl"), "--device", "cpu"]
    arguments += ["--layers", "0,2", "--no-restore", "--resamples", "100", "--loc-strengths", "8"]
    assert main([*arguments, *more, "--out", str(base / name)]) == 0
    return base / name


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory, small_items) -> Path:
    base = tmp_path_factory.mktemp("page")
    model = save_tiny("llama", base / NAME, max_position_embeddings=512)
    return sweep(base, f"run{NAME}", model, hostile_items(small_items))


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory, tiny_folders, small_items) -> Path:
    base = tmp_path_factory.mktemp("page")
    return sweep(base, "other", tiny_folders["qwen3"], small_items, "--choose", "pooled")


@pytest.fixture(scope="session")
def hostile_page(hostile_run) -> Path:
    return hostile_run / "report.html"


@pytest.fixture(scope="session")
def both_page(hostile_run, plain_run, tmp_path_factory) -> Path:
    return mechcla.report([hostile_run, plain_run], tmp_path_factory.mktemp("both") / "both.html")


def data_of(page: Path) -> dict[str, Any]:
    """The page's data, as a browser reads them."""
    text = page.read_text(encoding="utf-8")
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    found: dict[str, Any] = json.loads(data)
    return found
