"""Bars are seen on a terminal alone, say what is being done, and are hushed by --quiet."""

from __future__ import annotations

import io
import sys

import pytest

import mechcla
from mechcla import progress
from mechcla.__main__ import main
from mechcla.models.load import load_model
from tests.align.test_training import train


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error from here on; in a fixture, pytest's own would take its place again."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "WAIT", 0.0)
    return screen


def stages(folder, items) -> None:
    """Everything that takes long: loading, the digest, extraction, priors, generation."""
    model = load_model(folder, device="cpu")
    mechcla.en_vectors(model, items.universal.dev)
    mechcla.score(model, items.language("es").dev, prior=True)
    mechcla.generate(model, ["a", "b"], max_new_tokens=4)


def test_every_stage_has_a_bar_with_the_time_left(monkeypatch, tiny_folders, small_items):
    screen = terminal(monkeypatch)
    stages(tiny_folders["llama"], small_items)
    seen = screen.getvalue()
    for what in ("digest", "extraction", "priors", "generation"):
        assert f"{what}:" in seen, what
    assert "<" in seen  # elapsed<left


def test_training_has_a_bar_on_a_terminal_and_lines_elsewhere(
    monkeypatch, capsys, tiny_folders, tmp_path
):
    pytest.importorskip("peft")
    train("mist", tiny_folders["llama"], tmp_path / "lines", steps=2)
    assert "align: step 2 of 2: " in capsys.readouterr().err
    screen = terminal(monkeypatch)
    with progress.quiet():
        train("mist", tiny_folders["llama"], tmp_path / "quiet", steps=2)
    assert screen.getvalue() == ""
    train("mist", tiny_folders["llama"], tmp_path / "bar", steps=2)
    seen = screen.getvalue()
    assert "align: 100%" in seen
    assert "2/2" in seen
    assert "loss " in seen
    assert "align: step" not in seen


def test_quiet_and_where_there_is_no_terminal(monkeypatch, tiny_folders, small_items):
    screen = terminal(monkeypatch)
    with progress.quiet():
        stages(tiny_folders["llama"], small_items)
        assert list(progress.track([1, 2], "adding")) == [1, 2]
        with progress.quiet(False):
            assert not progress.shown()
    assert progress.shown()
    assert screen.getvalue() == ""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    stages(tiny_folders["llama"], small_items)
    assert log.getvalue() == ""


def test_a_command_takes_quiet_wherever_it_stands(small_items, tmp_path, capsys):
    small_items.to_jsonl(tmp_path / "items.jsonl")
    assert main(["lint", "--quiet", str(tmp_path / "items.jsonl")]) in (0, 1)
    assert not progress.hushed()
    assert main(["--help"]) == 0
    assert "--quiet" in capsys.readouterr().out
