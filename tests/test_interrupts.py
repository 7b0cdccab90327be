"""Ctrl-C stays an interrupt, whatever a library makes of it."""

import os
import signal
import sys
import threading
from contextlib import closing, suppress

import pytest
import torch
from safetensors.torch import load_file, save_file

import mechcla
from mechcla.errors import MechclaError
from mechcla.interrupts import kept
from mechcla.runs.store import Store
from mechcla.sweep.sweep import telling


@pytest.fixture(autouse=True)
def pythons_own_handler():
    """The one that a process starts with; what a test leaves in its place is seen."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    left = signal.signal(signal.SIGINT, before)
    assert left is signal.default_int_handler


def interrupting(read):
    """Call this while Ctrl-C comes where torch, in C++, asks a storage for its first byte."""
    asked = 0

    def trace(frame, event, _):
        nonlocal asked
        if event == "call" and frame.f_code.co_qualname == "UntypedStorage.__getitem__":
            asked += 1
            if asked == 2:  # the first is safetensors' own, in Python
                os.kill(os.getpid(), signal.SIGINT)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        read()
    finally:
        sys.settrace(before)
        assert asked >= 2


def interrupted_in_compiled_code(folder):
    """Read a file of one tensor, interrupted."""
    path = folder / "a.safetensors"
    save_file({"a": torch.zeros(8, 8)}, path)
    interrupting(lambda: load_file(path))


def test_torch_makes_another_error_of_it(tmp_path):
    """What `kept` is for: where this fails, torch has learnt better, and `kept` may go."""
    with pytest.raises(ValueError, match="shape of object type"):
        interrupted_in_compiled_code(tmp_path)


def test_it_stays_an_interrupt(tmp_path):
    with pytest.raises(KeyboardInterrupt) as raised, kept():
        interrupted_in_compiled_code(tmp_path)
    assert isinstance(raised.value.__cause__, ValueError)


def test_inside_another_too(tmp_path):
    with pytest.raises(KeyboardInterrupt), kept(), kept():
        interrupted_in_compiled_code(tmp_path)


def test_an_error_without_interrupt_is_itself():
    with pytest.raises(KeyboardInterrupt), kept():
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(MechclaError, match="no such block"), kept():  # the earlier one is over
        raise MechclaError("no such block")


def test_work_does_not_go_on_as_if_a_file_were_damaged(tiny, small_items, tmp_path):
    """Vectors that are there are read, and not made again because Ctrl-C came meanwhile."""
    vectors = {"en": mechcla.en_vectors(tiny, small_items.dev.universal.language("en", "es"))}
    made = []

    def make():
        made.append("made")
        return vectors

    store = Store.open(tmp_path / "run", {}, {})
    store.vectors(["en"], make)
    with closing(store), pytest.raises(KeyboardInterrupt), telling(store):
        interrupting(lambda: store.vectors(["en"], make))
    assert made == ["made"]


def test_an_interrupt_that_something_inside_drops_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), kept(), suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_handler_that_others_install_inside_stays():
    theirs = lambda *_: None  # noqa: E731
    with kept():
        signal.signal(signal.SIGINT, theirs)
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is theirs


def divided_after_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)
    return 1 / 0


def test_the_users_own_handler_and_other_threads_are_left_alone():
    came = []
    signal.signal(signal.SIGINT, lambda *_: came.append("theirs"))
    with pytest.raises(ZeroDivisionError), kept():
        divided_after_ctrl_c()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert came == ["theirs"]

    def elsewhere():
        with kept():
            came.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert came[1] is signal.default_int_handler


def test_the_run_says_interrupted_and_not_failed(tmp_path):
    store = Store.open(tmp_path / "run", {}, {})
    with closing(store), pytest.raises(KeyboardInterrupt), telling(store):
        interrupted_in_compiled_code(tmp_path)
    assert '"interrupted"' in (tmp_path / "run" / "status.json").read_text()
