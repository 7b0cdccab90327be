"""Write the numbers of README and the docs anew from docs/reference, or check that they stand.

python -m analyses.docs                        write the pages
python -m analyses.docs --check                name every number that differs; exit code 1
python -m analyses.docs --take runs/demo runs/figures
                                               make the committed tables of a run, then write
python -m analyses.docs --tables runs/smollm2  the same for the tables alone, in a folder of
                                               docs/reference with the run's name
python -m analyses.docs --align runs/align/figures
                                               the same for what `make align` wrote
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analyses.docs.pages import ROOT, changes, pages, render
from analyses.docs.take import take, take_align, take_tables
from mechcla import MechclaError
from mechcla.storage import write_text


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--take", nargs=2, type=Path, metavar=("RUN", "FIGURES"))
    parser.add_argument("--tables", type=Path, metavar="RUN")
    parser.add_argument("--align", type=Path, metavar="FIGURES")
    args = parser.parse_args(argv)
    folder = root / "docs" / "reference"
    try:
        if args.take:
            run, figures = args.take
            take(run, figures, folder, root / "docs" / "img")
        if args.tables:
            take_tables(args.tables, folder / args.tables.name)
        if args.align:
            take_align(args.align, folder / "align_run")
    except MechclaError as error:
        print(f"analyses.docs: {error}", file=sys.stderr)
        return 2
    faults = []
    for path in pages(root):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        made, wrong = render(text, name, folder)
        faults += wrong + (changes(text, made, name) if args.check else [])
        if made != text and not args.check:
            write_text(path, made)
            print(f"{name}: written")
    print("\n".join(map(str, faults)) or "every number stands as the tables say", file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
