"""One process per run folder; others' folders are left alone; a killed run is taken over."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from mechcla.errors import MechclaError
from mechcla.runs.lock import RunLock
from mechcla.runs.store import Store
from mechcla.sweep.__main__ import main
from tests.runs.harness import Ended, finish, hidden, results, start, sweep


def forked_lock(folder: Path) -> tuple[int, int]:
    """Another process that holds the folder until it is killed."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        held = RunLock.take(folder)  # given back if nothing refers to it
        os.write(writes, b"held")
        while held:
            signal.pause()
    os.close(writes)
    assert os.read(reads, 4) == b"held"
    return pid, reads


def test_a_second_process_gets_one_message_and_the_first_its_results(unbroken, tmp_path):
    for more in ([], ["--seed", "7"]):
        out = tmp_path / f"run{len(more)}"
        first = start([*unbroken.arguments, "--out", str(out)])
        deadline = time.monotonic() + 60
        while not (out / "running.json").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        second = sweep([*unbroken.arguments, *more], out)
        ended = finish(*first)
        assert ended.code == 0, ended.said
        assert second.one_message, second.said
        said = f"is in use by process {first[0]} on {socket.gethostname()} since 20"
        assert said in second.messages[0]
        assert results(out) == unbroken.right
        assert not hidden(out)


def test_a_folder_in_use_is_refused_before_anything_is_loaded(unbroken, copied, capsys):
    out = copied()
    pid, reads = forked_lock(out)
    try:
        arguments = [*unbroken.arguments, "--model", "./no/such/folder", "--out", str(out)]
        assert main(arguments) == 2
        assert f"is in use by process {pid} on" in capsys.readouterr().err
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reads)


def test_the_lock_of_a_dead_process_is_taken_over_and_said(unbroken, copied):
    out = copied()
    pid, reads = forked_lock(out)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reads)
    ours = [
        out / ".mechcla-abc.json",
        out / "cells/test/es/.mechcla-x.parquet",
        out / "mechcla-a1b2c3d4",
        out / "figures/.mechcla-y.svg",
    ]
    theirs = [
        out / ".notes",
        out / "cells/mine.txt",
        out / "mechcla-notes.txt",
        out / "figures/a.png",
    ]
    for path in (*ours, *theirs):
        path.write_text("x")
    ended = sweep(unbroken.arguments, out)
    assert ended.code == 0
    (message,) = ended.messages
    assert f"process {pid} on {socket.gethostname()} since" in message
    assert "ended without giving" in message
    assert not [p for p in ours if p.exists()]
    assert all(p.read_text() == "x" for p in theirs)
    assert not (out / "running.json").exists()
    assert results(out) == unbroken.right


def test_one_process_may_open_a_folder_again_once_it_is_closed(tmp_path):
    with Store.open(tmp_path / "run", {"a": 1}, {}) as store:
        with pytest.raises(MechclaError, match=f"is in use by process {os.getpid()} on"):
            Store.open(tmp_path / "run", {"a": 1}, {})
        store.close()
        Store.open(tmp_path / "run", {"a": 1}, {}).close()
    with pytest.raises(MechclaError, match="a: the folder has 1, this run 2"):
        Store.open(tmp_path / "run", {"a": 2}, {})
    Store.open(tmp_path / "run", {"a": 1}, {}).close()  # what was refused holds nothing


@pytest.mark.parametrize(
    "names",
    [
        ["config.yaml"],
        ["config.yaml", "thesis.tex"],
        [".env"],
        ["frozen.json"],
        ["cells/a.parquet"],
        ["selection.json", "config.yaml"],
    ],
)
def test_a_folder_that_holds_no_run_is_refused_and_left_as_it_is(names, unbroken, tmp_path, capsys):
    out = tmp_path / "mine"
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine: true\n")
    before = {p: p.read_bytes() if p.is_file() else b"" for p in out.rglob("*")}
    assert main([*unbroken.arguments, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "is not empty and holds no run of mechcla.sweep" in said
    assert names[0].split("/")[0] in said
    assert {p: p.read_bytes() if p.is_file() else b"" for p in out.rglob("*")} == before


def test_an_empty_folder_and_that_of_a_run_killed_at_its_start_are_taken(tmp_path):
    for name in (".mechcla-abc.json", "run.lock", "running.json", ".gitkeep"):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text("")
        Store.open(out, {"a": 1}, {}).close()
        assert (out / "record.json").exists()
    assert not (tmp_path / ".mechcla-abc.json" / ".mechcla-abc.json").exists()


def test_a_tilde_is_the_home_folder(unbroken, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yaml = tmp_path / "home" / "s.yaml"
    yaml.write_text("out: ~/runs/x\nconfig: null\n")
    ended: Ended = finish(*start([*unbroken.arguments, "--config", "~/s.yaml"]))
    assert ended.code == 0, ended.said
    assert results(tmp_path / "home/runs/x") == unbroken.right
    assert [p.name for p in tmp_path.iterdir()] == ["home"]
    refused = finish(*start([*unbroken.arguments, "--out", "~nobody-by-this-name/x"]))
    assert refused.one_message
    assert "is no home folder here" in refused.said
