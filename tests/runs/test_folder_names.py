"""The files of a run folder are named in mechcla/runs/folder.py and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import mechcla
from mechcla.runs import folder
from mechcla.storage import TEMPORARY

PACKAGE = Path(mechcla.__file__).parent
NAMES = {v for k, v in vars(folder).items() if k.isupper() and isinstance(v, str)}
OF_OWN = {"vectors", "cells", "figures", "plane"}  # plain words, which other things are named by
ENDS = {folder.CELL, folder.VECTOR}  # and what item files end in as well


def test_no_other_file_spells_one_out():
    names = NAMES - OF_OWN - ENDS - {TEMPORARY}
    assert {"record.json", "summary.csv", "fig5_surgical"} <= names
    spelt = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != Path(folder.__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert spelt == []
