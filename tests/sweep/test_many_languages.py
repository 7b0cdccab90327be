"""Forty-two languages of made-up items, from one command to the tables and figures."""

from __future__ import annotations

from pathlib import Path

import pytest

import mechcla
from analyses.many_languages import items_in, main
from mechcla.__main__ import main as mechcla_main
from mechcla.sources.global_mmlu.cues import LANGUAGES


def test_the_items_are_clean_and_alike_in_every_language() -> None:
    items = items_in(["es", "ko"], questions=2)
    assert items.languages == ("en", "es", "ko")
    assert len(items) == 3 * 2 * 2 * 2
    assert mechcla.lint(items).clean
    assert set(items.language("es").ids) == set(items.language("en").ids)


def test_more_questions_than_there_are_words_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 to 3"):
        items_in(["es"], questions=4)


@pytest.mark.slow
def test_forty_two_languages_in_one_command(
    tiny_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "many.jsonl"), "--questions", "2"]) == 0
    assert f"in {len(LANGUAGES)} languages" in capsys.readouterr().out
    settings = ["--layers", "0,2", "--no-restore", "--no-controls", "--resamples", "100"]
    where = ["--items", str(tmp_path / "many.jsonl"), "--out", str(tmp_path / "run")]
    model = ["--model", str(tiny_folders["llama"]), "--device", "cpu", "--threads", "1"]
    assert mechcla_main(["sweep", *model, *where, *settings]) == 0
    run = mechcla.read_run(tmp_path / "run")
    assert run.status == "complete"
    languages = {row["language"] for row in run.summary}
    assert languages == {*LANGUAGES, "all"}
    assert set(run.choice["LOC"]) == {*LANGUAGES} - {"en"}
    assert (tmp_path / "run/figures/fig2_tradeoff.png").stat().st_size > 5000
