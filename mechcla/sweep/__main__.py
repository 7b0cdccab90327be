"""python -m mechcla.sweep: one command from a model to the plane. `--help` lists every setting."""

from __future__ import annotations

import sys

from mechcla.errors import MechclaError
from mechcla.interrupts import INTERRUPTED, MESSAGE, kept
from mechcla.progress import quiet, without_flag
from mechcla.sweep.config import parse
from mechcla.sweep.models import several_models
from mechcla.sweep.sweep import dry_run, run_config, run_several


def main(arguments: list[str] | None = None) -> int:
    """Run a sweep; returns the exit code: 0 done, 2 bad input, 130 interrupted."""
    given, hushed = without_flag(sys.argv[1:] if arguments is None else arguments)
    try:
        config = parse(given)
        with kept(), quiet(hushed):
            if config.dry_run:
                dry_run(config)
            else:
                several = config.adapters or several_models(config)
                (run_several if several else run_config)(config)
        return 0
    except MechclaError as error:
        print(f"mechcla.sweep: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # of a file that is not the run folder's: a model's, the terminal's
        print(f"mechcla.sweep: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nmechcla.sweep: {MESSAGE}", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
