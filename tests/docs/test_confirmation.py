"""The example of docs/confirmation.md prints what the page shows."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, unlike


def test_the_block_prints_what_the_page_shows(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "confirmation.md").read_text(encoding="utf-8")
    [(code, shown)] = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "confirmation.md", "exec"), {})
    assert unlike(capsys.readouterr().out, shown) == []
    assert (tmp_path / "runs/my-confirmation/look.json").exists()
