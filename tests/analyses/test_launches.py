"""The record of what is launched: counts, shares and differences of every way."""

from __future__ import annotations

import json

from analyses.benchmarks import launches


def test_fewer_operations_for_the_same_numbers(tmp_path, one_thread, capsys):
    out = tmp_path / "launches.json"
    small = ["--items", "2", "--layers", "2", "--repeats", "1"]
    assert (
        launches.main(["--shape", "tiny-llama", "--device", "cpu", *small, "--out", str(out)]) == 0
    )
    found = json.loads(out.read_text("utf-8"))
    assert found["block"]["native"] < found["block"]["bridge"]
    native, bridge = found["ways"]["native"], found["ways"]["bridge"]
    assert native["difference_to_bridge"] == 0.0  # to the last bit
    assert native["launched"] < bridge["launched"]
    assert 0 < native["products"] < 1
    assert found["cells"] == 6
    assert found["clock"] == "cpu"
    assert json.loads(capsys.readouterr().out) == found
