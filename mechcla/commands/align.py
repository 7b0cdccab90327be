"""python -m mechcla align METHOD: the same as python -m mechcla.align METHOD."""

from __future__ import annotations

from mechcla.align.__main__ import main
from mechcla.commands.command import COMMANDS, Command

ABOUT = "trains a LoRA adapter with an alignment method, or a control"
COMMANDS.register("align", Command(main, ABOUT))
