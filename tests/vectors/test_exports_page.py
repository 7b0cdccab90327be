"""The Python of docs/exports.md, on a tiny model with as many blocks as the demo model."""

from __future__ import annotations

from tests.conftest import save_tiny
from tests.docs.pages import python_blocks


def test_the_page_s_python_runs(tmp_path, monkeypatch, capsys, one_thread):
    folder = save_tiny("llama", tmp_path / "model", num_hidden_layers=18)
    monkeypatch.chdir(tmp_path)
    first, second = python_blocks("docs/exports.md")[:2]
    assert first.count('load_model("demo")') == 1
    names: dict[str, object] = {}
    code = first.replace('load_model("demo")', f"load_model({str(folder)!r})")
    exec(compile(code, "exports.md", "exec"), names)
    assert capsys.readouterr().out == "{5: (32,), 13: (32,)}\n"
    exec(compile(second, "exports.md", "exec"), names)
    assert capsys.readouterr().out == f"{tuple(range(1, 18))}\n"
    assert names["loc"].at("es", 13)[0].shape == (32,)
