"""python -m mechcla, and the console script mechcla: a command, then its own arguments.

    python -m mechcla sweep --preset quick
    python -m mechcla lint items.jsonl --languages es,ko
    python -m mechcla compare runs/base runs/midalign --out runs/compared

Exit codes: 0 done (`lint`: clean), 1 `lint` found faults, 2 bad input, 130 interrupted. A new
command is one file in mechcla/commands/.
"""

from __future__ import annotations

import sys

import mechcla.commands  # noqa: F401  (registers them)
from mechcla.commands.command import COMMANDS
from mechcla.errors import MechclaError
from mechcla.interrupts import kept
from mechcla.progress import quiet, without_flag


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names; returns the exit code.

    >>> main(["lint", "items.jsonl"])
    387 items in es: no faults
    ...
    0
    """
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] in ("-h", "--help"):
        print(_usage(), file=sys.stdout if given else sys.stderr)
        return 0 if given else 2
    given, hushed = without_flag(given)
    try:
        with kept(), quiet(hushed):
            return COMMANDS.get(given[0]).run(given[1:])
    except MechclaError as error:
        print(f"mechcla: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmechcla: interrupted", file=sys.stderr)
        return 130


def _usage() -> str:
    about = "(COMMAND --help lists its settings; --quiet: no progress bar)"
    lines = [f"usage: python -m mechcla COMMAND ...   {about}", ""]
    return "\n".join(lines + [f"  {name:10}{command.about}" for name, command in COMMANDS.items()])


if __name__ == "__main__":
    raise SystemExit(main())
