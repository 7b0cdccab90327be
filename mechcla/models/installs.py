"""Loading a model changes no package.

TransformerLens installs torchvision by pip when it boots a multimodal model without it, which may
replace the torch that is running. mechcla asks for text only, so nothing of that is needed.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import PurePath
from typing import Any

INSTALLERS = ("pip", "pip3", "uv", "conda", "mamba", "easy_install", "poetry")


def installs(command: Any) -> bool:
    """Whether a command, a text or a list of words, is one that installs packages."""
    words = command.split() if isinstance(command, str) else [str(w) for w in _words(command)]
    names = {PurePath(word).name.removesuffix(".exe") for word in words}
    return bool(names & set(INSTALLERS)) and bool(names & {"install", "add", "sync", "download"})


def _words(command: Any) -> list[Any]:
    return list(command) if isinstance(command, list | tuple) else [command]


@contextmanager
def no_installs() -> Iterator[None]:
    """While this runs, TransformerLens installs nothing, and no child process that would starts.

    A child process that would is refused by a RuntimeError that says so. Not safe against other
    threads that start processes at the same time: they are under the same rule.
    """
    try:
        helpers: Any = import_module("transformer_lens.model_bridge.sources.transformers.helpers")
    except ImportError:  # TransformerLens 3 has it elsewhere; the child process is refused below
        helpers = None
    name, start = "_ensure_torchvision", subprocess.Popen.__init__
    helper = getattr(helpers, name, None)

    def guarded(self: Any, args: Any, *rest: Any, **settings: Any) -> None:
        if installs(args):
            self.returncode = 1  # for Popen's own destructor
            raise RuntimeError(
                f"mechcla lets nothing be installed while a model is loaded; refused: {args!r}"
            )
        start(self, args, *rest, **settings)

    if helper is not None:
        setattr(helpers, name, lambda: importlib.util.find_spec("torchvision") is not None)
    subprocess.Popen.__init__ = guarded  # type: ignore[method-assign]
    try:
        yield
    finally:
        subprocess.Popen.__init__ = start  # type: ignore[method-assign]
        if helper is not None:
            setattr(helpers, name, helper)
