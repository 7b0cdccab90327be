"""Digests of item-level scores: is a change of the code a change of the numbers?

    python -m analyses.score_digests runs/quick --out docs/reference/score_digests.json    # write
    python -m analyses.score_digests runs/quick --against docs/reference/score_digests.json  #
    compare

A row per cell of a run folder (split, language, method, kind and prompt form, without the cell's
own digest) and one per table of scores that the tutorial makes: the SHA-256 of every item's id,
candidates and log-likelihoods, to the last bit. Two machines, or another number of threads, may
round differently; compare on one.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import tempfile
from pathlib import Path

from mechcla import Scores

TUTORIAL = Path(__file__).parent.parent / "docs" / "tutorial.md"


def digest(scores: Scores) -> str:
    """SHA-256 of the table's ids, candidates and log-likelihoods; float64 in hexadecimal, so to the
    last bit.
    """
    rows = [[r.id, r.language, r.texts, [x.hex() for x in r.log_likelihood]] for r in scores]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def of_run(folder: Path) -> dict[str, str]:
    """A digest per cell of a run folder, by its path without the cell's digests."""
    found = {}
    for path in sorted(folder.glob("cells/**/*.parquet")):
        name = re.sub(r"(-[0-9a-f]{16})+$", "", path.stem)
        found[str(path.relative_to(folder / "cells").with_name(name))] = digest(
            Scores.from_parquet(path)
        )
    return found


def of_tutorial() -> dict[str, str]:
    """A digest per table of scores that the tutorial's code leaves under a name."""
    names: dict[str, object] = {}
    here = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)
        try:
            page = TUTORIAL.read_text(encoding="utf-8")
            for code in re.findall(r"```python\n(.*?)```", page, re.S):
                exec(compile(code, "docs/tutorial.md", "exec"), names)
        finally:
            os.chdir(here)
    tables = {k: v for k, v in names.items() if isinstance(v, Scores)}
    if isinstance(names.get("methods"), dict):
        tables |= {
            f"methods[{k!r}]": v for k, v in names["methods"].items() if isinstance(v, Scores)
        }
    return {f"tutorial/{k}": digest(v) for k, v in tables.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder, e.g. runs/quick")
    parser.add_argument(
        "--tutorial", action="store_true", help="run the tutorial too (two minutes)"
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--against", type=Path)
    chosen = parser.parse_args()
    found = of_run(chosen.run) | (of_tutorial() if chosen.tutorial else {})
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if chosen.against:
        expected = json.loads(chosen.against.read_text())
        shared = found.keys() & expected.keys()
        other = sorted(k for k in shared if found[k] != expected[k])
        print(f"{len(shared)} tables compared, {len(shared) - len(other)} equal to the last bit")
        for name in other:
            print(f"  differs: {name}")
        missing = sorted(
            k
            for k in expected.keys() - found.keys()
            if chosen.tutorial or not k.startswith("tutorial/")
        )
        for name in missing:
            print(f"  missing: {name}")
        return 1 if other or missing else 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
