"""Makes the adapters that travel with mechcla (data/adapters) from trained ones and their runs.

    python -m analyses.ship_adapters weights adapters/clo-0 --rank 8
    python -m mechcla.sweep --model demo+data/adapters/clo --out runs/shipped/clo
    python -m analyses.ship_adapters choice clo runs/shipped/clo
    python -m analyses.ship_adapters check

weights: bfloat16, at most 4 MB per file, card and losses. choice: what dev of the adapter's own run
chose for Surgical Steering, with the vectors that it needs. check: digests and sizes of all.
"""

import argparse
import sys
from pathlib import Path

from analyses.common import one_message
from mechcla.align.shipping import check_shipped, ship_choice, ship_weights
from mechcla.models.adapters import adapter_folder, shipped_adapters


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    weights = commands.add_parser("weights", help="a trained adapter as one that travels")
    weights.add_argument("adapter", type=Path, help="the folder that mechcla align wrote")
    weights.add_argument("--out", type=Path, help="default: data/adapters/METHOD")
    weights.add_argument("--rank", type=int, help="cut it to this rank")
    choice = commands.add_parser("choice", help="adds dev's choice of the adapter's own run")
    choice.add_argument("adapter", help="a shipped one's name, or a folder")
    choice.add_argument("run", type=Path, help="run folder of mechcla.sweep")
    commands.add_parser("check", help="verifies every shipped adapter")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    sys.excepthook = one_message
    args = parsed(arguments)
    if args.command == "weights":
        result = ship_weights(args.adapter, args.out or "", args.rank)
        print(result)
        for path in sorted(result.folder.iterdir()):
            print(f"{path.stat().st_size:>10,}  {path}")
        print(f"next: python -m mechcla.sweep --model {result.settings['model']}+{result.folder}")
    elif args.command == "choice":
        print(ship_choice(adapter_folder(args.adapter), args.run))
    else:
        for name, folder in shipped_adapters().items():
            check_shipped(folder)
            print(f"{name}: whole")


if __name__ == "__main__":
    main()
