"""Settings: flags over the file over the preset, and all of them in --help."""

from __future__ import annotations

import pytest

from mechcla.errors import MechclaError
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import parse


def test_flags_win_over_the_file_over_the_preset(tmp_path):
    (tmp_path / "c.yaml").write_text("preset: quick\nlanguages: [el]\ndev_items: 5\n")
    (tmp_path / "c.toml").write_text('en_strengths = [0.1]\nmodel = "mine"\n')
    config = parse(["--config", str(tmp_path / "c.yaml"), "--dev-items", "7"])
    assert (config.languages, config.dev_items, config.coarse_step) == (["el"], 7, 6)
    assert parse(["--config", str(tmp_path / "c.toml")]).en_strengths == [0.1]
    (tmp_path / "bad.yaml").write_text("lagnuages: [el]\n")
    with pytest.raises(MechclaError, match="unknown setting 'lagnuages'; did you mean 'languages'"):
        parse(["--config", str(tmp_path / "bad.yaml")])


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    from mechcla.sweep.config import SweepConfig

    for name in SweepConfig.model_fields:
        assert f"--{name.replace('_', '-')}" in said
