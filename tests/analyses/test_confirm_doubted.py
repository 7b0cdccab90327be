"""The list of doubted items names items that there are, and their rows alone are left out."""

from __future__ import annotations

from dataclasses import replace

from analyses import confirm
from analyses.common import read_json
from analyses.confirm import without_doubted
from analyses.confirm_first import FIRST
from mechcla import load_items
from mechcla.scoring.scores import Scores
from tests.analyses.test_confirm import table


def test_every_doubted_item_is_an_item() -> None:
    there = {(i.language, i.id) for i in load_items("confirm")}
    listed = [(d["language"], d["id"]) for d in read_json(FIRST.doubted)["items"]]
    assert set(listed) <= there
    assert len(listed) == len(set(listed))


def test_the_doubted_rows_alone_are_left_out() -> None:
    wrong = next(d for d in read_json(FIRST.doubted)["items"] if d["severity"] == "wrong")
    tables: dict[tuple[str, str, str], Scores] = {}
    for h in FIRST.hypotheses:
        for model, condition, share in (
            (h.than_model, h.than_condition, 0.5),
            (h.model, h.condition, 0.6),
        ):
            key = (model, condition, h.kind)
            named = [
                replace(r, id=wrong["id"])
                if (r.id, r.language) == ("q00", wrong["language"])
                else r
                for r in table(h.kind, share)
            ]
            tables.setdefault(key, Scores(tuple(named)))
    rows = without_doubted(FIRST, tables)
    assert {r["left_out"] for r in rows} == {"wrong", "wrong and doubtful"}
    whole = {r["id"]: r["n"] for r in confirm.tested(FIRST, tables)}
    assert {r["id"]: whole[r["id"]] - r["n"] for r in rows} == dict.fromkeys(whole, 1)
