"""Tests of HookedTransformer are collected where there is one: TransformerLens 3, `make
test-hooked`. And the files and the cache folder of tests of GGUF.
"""

from importlib.metadata import version
from pathlib import Path

import pytest

collect_ignore = [] if version("transformer-lens") < "4" else ["test_hooked_transformer.py"]


@pytest.fixture(scope="session")
def gguf_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of models of which GGUF files are written."""
    from tests.models.gguf_made import MADE

    base = tmp_path_factory.mktemp("gguf")
    return {name: made(base / name.replace(", ", "-")) for name, made in MADE.items()}


@pytest.fixture
def gguf_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("MECHCLA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gguf_file(gguf_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A tiny Llama."""
    from tests.models.gguf_writing import write_gguf

    return write_gguf(gguf_folders["llama"], tmp_path / "tiny.gguf")
