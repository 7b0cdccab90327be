"""What docs/aligned.md says of `make align` in one go, held against the committed tables."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from analyses.docs.values import number
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
METHODS = ("clo", "mist", "midalign")
SHOWN = ("difference", "difference_low", "difference_high")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("method", METHODS)
def test_its_trainings_have_the_losses_of_the_shipped_adapters(method: str) -> None:
    """To 3 parts in a million, at every step."""
    made = table(REFERENCE / "align_run" / "losses.csv")
    losses = [float(r["loss"]) for r in made if r["adapter"] == f"{method}-0"]
    shipped = table(ROOT / "data" / "adapters" / method / "losses.csv")
    assert len(losses) == len(shipped) > 30
    assert losses == pytest.approx([float(r["loss"]) for r in shipped], rel=3e-6)


def test_its_rows_of_seed_0_are_those_of_the_shipped_adapters() -> None:
    """To the digits that the page gives: unsteered against the base, SUR against its own model."""
    rows = {}
    for name, seed in (("align/aligned", ""), ("align_run/plane", "-0")):
        for r in table(REFERENCE / f"{name}.csv"):
            model, against = (r[k].removesuffix(seed) for k in ("model", "against"))
            wanted = {"unsteered": "base", "SUR": model}.get(r["condition"])
            if model in METHODS and r["language"] == "all" and against == wanted:
                key = (model, r["condition"], r["metric"])
                rows.setdefault(key, []).append([number(r[k], 3) for k in SHOWN])
    assert len(rows) == len(METHODS) * 2 * 3
    assert all(shipped == made for shipped, made in rows.values())
