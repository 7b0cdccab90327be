"""What a run over items without one kind says that it leaves out: families it could have had."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mechcla.items.item_set import ItemSet
from mechcla.sweep.axes import Axes
from mechcla.sweep.config import make
from mechcla.sweep.making import families_of


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("restore", [False, True])
def test_no_family_that_the_run_has_not_is_said_to_be_left_out(
    gated: bool, restore: bool, small_items: ItemSet
) -> None:
    spanish = small_items.language("es")
    catalan = [replace(i, language="ca") for i in spanish.cultural]
    portuguese = [replace(i, language="pt") for i in spanish.universal]
    axes = Axes.of(ItemSet((*small_items, *catalan, *portuguese)))
    families = families_of(make({"gated": gated, "restore": restore}))
    said = [
        (message.partition(":")[0], set(names(message)))
        for message in axes.lacking(families)
        if message.startswith("no ")
    ]
    extra = {"GATED"} if gated else set()
    assert said == [
        (
            "no universal items in ca",
            {"EN", "SUR"} | extra | ({"EN+restore"} if restore else set()),
        ),
        ("no cultural items in pt", {"explicit", "LOC", "SUR"} | extra),
    ]


def names(message: str) -> list[str]:
    return message.partition("there, and ")[2].removesuffix(" are left out there").split(", ")
