"""A registry gives back what was registered, and refuses a name twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.registry import Registry


def test_values_come_back_by_name_in_their_order() -> None:
    numbers: Registry[int] = Registry("number")
    assert numbers.register("two", 2) == 2
    numbers.register("one", 1)
    assert (numbers.get("one"), numbers.get("two")) == (1, 2)
    assert numbers.names() == ("two", "one") == tuple(numbers)
    assert len(numbers) == 2
    assert "one" in numbers
    assert "three" not in numbers
    assert 1 not in numbers
    assert repr(numbers) == "Registry('number': two, one)"


def test_it_decorates_functions_and_leaves_them_as_they_are() -> None:
    rules: Registry[Callable[[int], bool]] = Registry("rule")

    @rules.register("even")
    def even(n: int) -> bool:
        return n % 2 == 0

    assert rules.get("even") is even
    assert even(4)


def test_none_is_a_value() -> None:
    found: Registry[int | None] = Registry("limit")
    assert found.register("no limit", None) is None
    assert found.get("no limit") is None


def test_a_name_is_given_once() -> None:
    recipes: Registry[str] = Registry("recipe")
    recipes.register("mean", "a")
    with pytest.raises(MechclaError, match=r"a recipe named 'mean' is registered already.*mean"):
        recipes.register("mean", "b")
    with pytest.raises(MechclaError, match="registered already"):
        recipes.register("mean")  # the decorator refuses before it decorates
    assert recipes.get("mean") == "a"


@pytest.mark.parametrize("name", ["", " mean", "mean\n"])
def test_a_name_is_a_text(name: str) -> None:
    with pytest.raises(MechclaError, match="the name of a recipe is"):
        Registry[str]("recipe").register(name, "a")


def test_an_unknown_name_shows_the_nearest() -> None:
    recipes: Registry[str] = Registry("recipe")
    recipes.register("mean_difference", "a")
    with pytest.raises(MechclaError) as error:
        recipes.get("mean_diference")
    assert str(error.value) == (
        "unknown recipe 'mean_diference'; did you mean 'mean_difference'? known: mean_difference"
    )


def test_it_is_public() -> None:
    assert mechcla.Registry is Registry
