"""The checks of types and shapes refuse what is wrong: without them nothing else would say so."""

from __future__ import annotations

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

from mechcla.engine.intervention import Intervention
from mechcla.geometry.similarity import linear_cka
from mechcla.items.item import Candidate, Item
from mechcla.registry import Registry
from mechcla.steering.linear_map import LinearMap
from tests.shapes import has_shape


def test_shapes_are_told_from_types() -> None:
    """jaxtyping checks what has a shape; beartype alone what has none."""
    assert has_shape(linear_cka)
    assert has_shape(Intervention.__init__)
    assert has_shape(LinearMap.__init__)
    assert not has_shape(Item.__init__)
    assert not has_shape(Registry.get)


def test_axes_that_disagree_are_refused() -> None:
    rows = torch.zeros(5, 2, 3)
    with pytest.raises(TypeCheckError, match="linear_cka"):
        linear_cka(rows, rows[:4])  # other items
    with pytest.raises(TypeCheckError, match="linear_cka"):
        linear_cka(rows, rows[:, 0])  # no layers
    with pytest.raises(TypeCheckError, match="LinearMap"):
        LinearMap(torch.eye(4), torch.zeros(3), 1, "resid_post", "es", "en", 1.0, 8)


def test_types_are_refused_where_there_is_no_shape() -> None:
    candidates = (Candidate("Lima", "correct"), Candidate("Quito", "wrong"))
    Item("a", "es", "universal", "dev", "La capital de Perú es", candidates)
    with pytest.raises(BeartypeCallHintViolation):
        Item("a", "es", "universal", "dev", 7, candidates)  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintViolation):
        Registry("thing").get(7)  # type: ignore[arg-type]
