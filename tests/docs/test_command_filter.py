"""`python -m tests.commands WORD`: a word that no command contains is bad input, not success."""

from __future__ import annotations

import pytest

from tests.commands import main


def test_a_word_of_no_command_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweeep", "fog"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "'sweeep' or 'fog'" in said.err
    assert "tests/docs/commands.toml" in said.err
