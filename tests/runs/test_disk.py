"""A full or read-only disk and Ctrl-C: one message, an exit code, and a run that goes on from
there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import mechcla
from mechcla.runs.store import Store
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scores import Scores
from tests.runs import fault_injection
from tests.runs.harness import finish, hidden, results, start, sweep
from tests.slow import others_slow

ROOT = Path(mechcla.__file__).parent.parent


@pytest.mark.parametrize("limit", others_slow([0, 1500, 6000, 20000], {1500, 20000}))
def test_a_disk_that_is_full_is_one_message_and_the_run_goes_on_later(limit, unbroken, tmp_path):
    """No file may grow beyond so many bytes: the record, a cell, a table, a figure does not fit."""
    out = tmp_path / "run"
    ended = sweep(unbroken.arguments, out, limit=limit)
    assert ended.one_message, ended.said
    assert "cannot write" in ended.said
    assert str(out) in ended.said
    assert "File too large" in ended.said
    assert not hidden(out)
    again = sweep(unbroken.arguments, out)
    assert again.code == 0, again.said
    assert results(out) == unbroken.right


def test_a_folder_that_cannot_be_made_is_one_message(unbroken, tmp_path):
    """Where a file stands in the way of the run folder, which root cannot pass either; and an empty
    run folder on a full disk.
    """
    (tmp_path / "file").write_text("x")
    ended = sweep(unbroken.arguments, tmp_path / "file" / "run")
    assert ended.one_message, ended.said
    out = tmp_path / "run"
    Store.open(out, {}, {}).close()
    out.joinpath("record.json").unlink()
    out.joinpath("config.yaml").unlink()
    ended = sweep(unbroken.arguments, out, limit=0)
    assert ended.one_message, ended.said
    assert sweep(unbroken.arguments, out).code == 0
    assert results(out) == unbroken.right


@pytest.mark.parametrize("name", ["vectors", "cells", "figures"])
def test_a_file_in_the_way_of_a_folder_is_one_message(name, unbroken, copied):
    out = copied()
    shutil.rmtree(out / name)
    (out / name).write_text("in the way")
    ended = sweep(unbroken.arguments, out)
    assert ended.one_message, ended.said
    assert str(out) in ended.said
    assert name in ended.said.split("cannot ")[1]
    (out / name).unlink()
    assert sweep(unbroken.arguments, out).code == 0
    assert results(out) == unbroken.right


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["imports", "vectors", "figures"])
def test_ctrl_c_is_130_and_one_message(moment, unbroken, tmp_path):
    """A process interrupted while torch is imported, while cells run, while it draws."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "mechcla.sweep", *unbroken.arguments, "--out", str(out)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},  # as `sweep` below
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` ignores it
    )
    maps, deadline = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 120

    def begun() -> bool:
        if moment == "imports":
            return (
                "torch" in maps.read_text() if maps.exists() else time.monotonic() > deadline - 119
            )
        return (out / moment).exists()

    while not begun() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.count("mechcla.sweep: interrupted; the same command goes on from here") == 1
    assert out.exists() == (moment != "imports")
    ended = sweep(unbroken.arguments, out)
    assert ended.code == 0, ended.said
    assert not ended.messages  # the interrupted run gave the folder back itself
    assert results(out) == unbroken.right
    assert not hidden(out)


@pytest.mark.slow
def test_a_killed_run_ends_in_the_unbroken_ones_bits(unbroken, tmp_path):
    """Killed among the cells of one batch, on dev and test: the rest must not round otherwise."""
    for part, n in (("dev", 5), ("test", 3), ("test", 17)):
        out = tmp_path / f"{part}{n}"
        pid, reads = start([*unbroken.arguments, "--out", str(out)])
        deadline = time.monotonic() + 60
        while len(list((out / "cells" / part).rglob("*.parquet"))) < n:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        finish(pid, reads)
        ended = sweep(unbroken.arguments, out)
        assert ended.code == 0, ended.said
        assert results(out) == unbroken.right
        assert not hidden(out)


def test_every_second_cell_lost_gives_the_same_bits(unbroken, copied):
    out = copied()
    paths = sorted((out / "cells").rglob("*.parquet"))
    for path in paths[::2]:
        path.unlink()
    kept = {p: p.stat().st_mtime_ns for p in paths[1::2]}
    assert sweep(unbroken.arguments, out).code == 0
    assert results(out) == unbroken.right
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_priors_do_not_depend_on_what_was_measured_before(tiny, small_items):
    """Not to the last bit, for any order of groups."""
    test = small_items.test
    groups = [
        test.language(k).where(lambda i, j=j: i.kind == j)
        for k in ("en", "es")
        for j in ("universal", "cultural")
    ]
    alone = [prepare(tiny, group).priors for group in groups]
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)):
        known: dict = {}
        found = {k: prepare(tiny, groups[k], known=known).priors for k in order}
        assert [found[k] for k in range(4)] == alone
    both = prepare(tiny, test, known=known)
    assert both.priors == prepare(tiny, test).priors


def test_the_priors_of_the_cells_are_those_of_score(unbroken, tiny, small_items):
    for kind in ("universal", "cultural"):
        part = small_items.test.language("es").where(lambda i, kind=kind: i.kind == kind)
        (path,) = (unbroken.folder / "cells/test/es").glob(f"unsteered-{kind}-implicit-*")
        fresh = mechcla.score(tiny, part)
        assert [r.prior for r in Scores.from_parquet(path)] == [r.prior for r in fresh]


@pytest.mark.slow
def test_the_suite_in_short(tmp_path):
    """Each kind of fault at a few places, and six kills; docs/reliability.md has the long run."""
    suite = fault_injection.run(
        tmp_path, kills=6, seed=random.SystemRandom().randrange(1000), short=True
    )
    assert not suite.wrong, "\n\n".join(suite.wrong)
    assert sum(suite.stages.values()) >= 6
    report = suite.report()
    assert {kind.split(":")[0] for kind in report["faults"]} >= set(fault_injection.DAMAGE)


def test_the_committed_counts_are_what_the_page_says():
    """That the page shows them is tests/docs/test_rendered.py's matter."""
    report = json.loads((ROOT / "docs/reference/reliability.json").read_text(encoding="utf-8"))
    assert sum(found["otherwise"] for found in report["faults"].values()) == 0
    assert report["faults"]["killed (SIGKILL)"]["identical results"] >= 50
