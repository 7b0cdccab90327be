"""python -m mechcla sweep: the same as python -m mechcla.sweep."""

from __future__ import annotations

from mechcla.commands.command import COMMANDS, Command
from mechcla.sweep.__main__ import main

ABOUT = "from a model to the transfer-localization plane (also: python -m mechcla.sweep)"
COMMANDS.register("sweep", Command(main, ABOUT))
