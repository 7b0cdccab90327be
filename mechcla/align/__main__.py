"""python -m mechcla align METHOD: train an adapter. `--help` lists every setting."""

from __future__ import annotations

import sys

from mechcla.align.config import parse
from mechcla.align.training import align_config
from mechcla.errors import MechclaError
from mechcla.interrupts import INTERRUPTED, MESSAGE, kept
from mechcla.progress import quiet, without_flag


def main(arguments: list[str] | None = None) -> int:
    """Train an adapter; returns the exit code: 0 done, 2 bad input, 130 interrupted."""
    given, hushed = without_flag(sys.argv[1:] if arguments is None else arguments)
    try:
        with kept(), quiet(hushed):
            print(align_config(parse(given)))
        return 0
    except (MechclaError, OSError) as error:
        print(f"mechcla align: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nmechcla align: {MESSAGE}", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
