"""Every fault that a run folder can meet, at random, and how each ends.

    python -m tests.runs.fault_injection --kills 50 --out docs/reference/reliability.json

A fault ends well in one of two ways: in results that equal an unbroken run's to the last bit
(tables, choices, vectors, cells), or in one message, exit code 2 (130 for an interrupt) and no
traceback. After a message about the disk, or a kill, the same command must end in the unbroken
results. What ends in any other way is counted as such, and the command's exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mechcla.sweep.__main__  # noqa: F401  # before conftest, whose import hook slows what follows
from mechcla.runs.identity import code_digest, versions
from mechcla.scoring.scores import Scores
from tests.conftest import save_tiny, tiny_items
from tests.runs.harness import (
    Ended,
    cut,
    damaged,
    empty,
    finish,
    flip,
    hidden,
    results,
    settings,
    start,
    sweep,
    warm,
)

TOGETHER = 16  # cells that are damaged in one run
SAME, SAID, ELSE = "identical results", "one message", "otherwise"
DAMAGE = {"one bit flipped": flip, "cut": cut, "emptied": empty}


@dataclass
class Suite:
    """The unbroken run, and what became of each fault."""

    base: Path
    arguments: list[str]
    chance: random.Random
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    stages: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.whole = self.base / "whole"
        warm(self.arguments, self.whole)
        self.right = results(self.whole)
        ended = sweep(self.arguments, self.base / "again")
        assert self.is_right(ended, self.base / "again"), ended.said  # two unbroken runs are equal
        self.seconds = ended.seconds
        self.files = sorted(
            str(p.relative_to(self.whole))
            for p in self.whole.rglob("*")
            if p.is_file() and p.stat().st_size
        )
        self.cells = [name for name in self.files if name.startswith("cells/")]

    def note(self, kind: str, how: str, n: int, ended: Ended, what: str) -> None:
        self.counts.setdefault(kind, Counter({SAME: 0, SAID: 0, ELSE: 0}))[how] += n
        if how == ELSE:
            self.wrong.append(f"{kind}: {what}: exit {ended.code}\n{ended.said[-6000:]}")

    def is_right(self, ended: Ended, out: Path) -> bool:
        """Whether a run ended as the unbroken one."""
        return ended.code == 0 and results(out) == self.right and not hidden(out)

    def damage(self, which: str, each: int | None = None) -> None:
        """Damage every file of the run, or `each` file of cells and of the rest, at random."""
        rest = [name for name in self.files if name not in self.cells]
        cells = self.cells
        if each is not None:
            rest, cells = (self.chance.sample(names, each) for names in (rest, cells))
        made_again = [name for name in rest if _room(name) in ("figures", "tables")]
        groups = [[name] for name in rest if name not in made_again]
        groups += [cells[i : i + TOGETHER] for i in range(0, len(cells), TOGETHER)]
        for room in ("figures", "tables"):
            groups += [here] if (here := [n for n in made_again if _room(n) == room]) else []
        for names in groups:
            out = damaged(self.whole, self.base / "out", names, DAMAGE[which], self.chance)
            ended = sweep(self.arguments, out)
            kind = f"{which}: {_room(names[0])}"
            named = all(name.split("/")[-1] in ended.said for name in names)
            if self.is_right(ended, out) and (named or not names[0].startswith(("cells", "vec"))):
                self.note(kind, SAME, len(names), ended, names[0])
            else:
                how = SAID if ended.one_message and named else ELSE
                self.note(kind, how, len(names), ended, ", ".join(names))

    def swaps(self, n: int) -> None:
        """Two cells in one another's place; two vector files likewise."""
        vectors = [name for name in self.files if name.startswith("vectors/")]
        for names in [self.cells] * n + [vectors]:
            one, two = self.chance.sample(names, 2)
            out = damaged(self.whole, self.base / "out", (), flip, self.chance)
            (out / one).rename(out / "held")
            (out / two).rename(out / one)
            (out / "held").rename(out / two)
            self._again("two files swapped", out, (one, two))

    def short(self, n: int) -> None:
        """A cell that is a proper table, one row short."""
        for name in self.chance.sample(self.cells, n):
            out = damaged(self.whole, self.base / "out", (), flip, self.chance)
            scores = Scores.from_parquet(out / name)
            Scores(scores.rows[:-1], scores.settings).to_parquet(out / name)
            self._again("a cell one row short", out, (name,))

    def _again(self, kind: str, out: Path, names: tuple[str, ...]) -> None:
        ended = sweep(self.arguments, out)
        named = all(name.split("/")[-1] in ended.said for name in names)
        good = self.is_right(ended, out) and named
        self.note(kind, SAME if good else ELSE, 1, ended, ", ".join(names))

    def stops(self, n: int, send: int) -> None:
        """A signal at n random moments, some of them in runs that go on after another."""
        kind = "killed (SIGKILL)" if send == signal.SIGKILL else "interrupted (Ctrl-C)"
        done = 0
        while done < n:
            out, here = self.base / "stopped", 0
            shutil.rmtree(out, ignore_errors=True)
            while done + here < n and not (out / "summary.csv").exists():
                after = self.chance.uniform(0.02, 1.0) * self.seconds
                ended = finish(*start([*self.arguments, "--out", str(out)]), after, send)
                if ended.code == 0:
                    break
                here += 1
                self.stages[_stage(out)] += 1
                good = ended.code == (-send if send == signal.SIGKILL else 130)
                if not good or "Traceback" in ended.said:
                    self.note(kind, ELSE, 1, ended, f"after {after:.2f} s")
            ended = sweep(self.arguments, out)
            self.note(kind, SAME if self.is_right(ended, out) else ELSE, here, ended, "resumed")
            done += here

    def together(self, n: int) -> None:
        """Two processes on one folder at once, of the same settings and of others."""
        for k in range(n):
            out = self.base / "shared"
            shutil.rmtree(out, ignore_errors=True)
            other = [*self.arguments, *(["--seed", "7"] if k % 2 else []), "--out", str(out)]
            first = start([*self.arguments, "--out", str(out)])
            second = start(other)
            ended = [finish(*first), finish(*second)]
            kind = "two processes, " + ("other settings" if k % 2 else "same settings")
            refused = [e for e in ended if e.one_message and "is in use by process" in e.said]
            won = [e for e in ended if e.code == 0]
            again = sweep(other if won == [ended[1]] else self.arguments, out)
            good = len(refused) == len(won) == 1 and again.code == 0 and not hidden(out)
            same = (k % 2 == 1 and ended[1] in won) or results(out) == self.right
            self.note(kind, SAME if good and same else ELSE, 1, (refused or ended)[0], "shared")

    def full(self, limits: list[int]) -> None:
        """A disk that takes no file beyond so many bytes; then one that does."""
        for limit in limits:
            out = self.base / "full"
            shutil.rmtree(out, ignore_errors=True)
            ended = sweep(self.arguments, out, limit=limit)
            said = ended.one_message and str(out) in ended.said
            again = sweep(self.arguments, out)
            good = said and self.is_right(again, out)
            self.note("disk full", SAME if good else ELSE, 1, ended if not said else again, "")

    def report(self) -> dict[str, Any]:
        return {
            "cells": len(self.cells),
            "files": len(self.files),
            "faults": {kind: dict(found) for kind, found in sorted(self.counts.items())},
            "stages of the stops": dict(sorted(self.stages.items())),
            "versions": versions(),
            "code": code_digest(),
        }


def _room(name: str) -> str:
    """What kind of file it is."""
    room = name.split("/")[0]
    if room in ("cells", "vectors", "figures"):
        return room
    return "tables" if name.endswith(".csv") or name == "summary.json" else name


def _stage(out: Path) -> str:
    """How far a run had come, by what it left."""
    if not (out / "record.json").exists():
        return "1 loading"
    if not (out / "selection.json").exists():
        return "2 vectors and dev cells"
    return "4 tables and figures" if (out / "summary.csv").exists() else "3 test cells"


def table(report: dict[str, Any]) -> str:
    """The counts as a Markdown table, for docs/reliability.md."""
    lines = [f"| fault | tried | {SAME} | {SAID} | {ELSE} |", "|---|---|---|---|---|"]
    for kind, found in report["faults"].items():
        numbers = (found[SAME], found[SAID], found[ELSE])
        lines.append(f"| {kind} | {sum(numbers)} | " + " | ".join(map(str, numbers)) + " |")
    stages = ", ".join(f"{n} in {name[2:]}" for name, n in report["stages of the stops"].items())
    return "\n".join(lines) + (
        f"\n\nThe run: {report['cells']} cells, {report['files']} files. Kills and interrupts by "
        f"what was going on: {stages}. torch {report['versions']['torch']}, transformers "
        f"{report['versions']['transformers']}, code {report['code'][:12]}."
    )


def run(base: Path, kills: int, seed: int, short: bool = False) -> Suite:
    """The whole suite in a folder; short: each kind at a few places."""
    model = save_tiny("llama", base / "model")
    suite = Suite(base, settings(model, tiny_items(), base), random.Random(seed))
    for which in DAMAGE:
        suite.damage(which, 1 if short else None)
    suite.swaps(1 if short else 5)
    suite.short(1 if short else 5)
    suite.stops(kills, signal.SIGKILL)
    suite.stops(max(1, kills // 3), signal.SIGINT)
    if not short:  # test_lock.py and test_disk.py have these
        suite.together(6)
        suite.full([0, 100, 700, 3000, 6000, 9000, 20000, 40000])
    return suite


def command(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="each kind of fault at a few places")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mechcla-faults-") as folder:
        suite = run(Path(folder), given.kills, given.seed, given.short)
    report = suite.report()
    print(table(report))
    print("\n\n".join(suite.wrong), file=sys.stderr)
    if given.out:
        given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if suite.wrong else 0


if __name__ == "__main__":
    raise SystemExit(command())
