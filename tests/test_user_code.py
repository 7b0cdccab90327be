"""A user's function is told from another by what it does, not by where it is written."""

from __future__ import annotations

from functools import partial

import torch

from mechcla.engine.operators import Operation, add
from mechcla.steering.controls import ARMS
from mechcla.steering.families import FAMILIES
from mechcla.user_code import user_code
from mechcla.vectors.recipes import RECIPES

GAIN = 0.5


def scaled(h, v, strength, matrix, gain=1.0):
    return h + gain * strength * v


def helped(h, v, strength, matrix):
    return scaled(h, v, strength, matrix)


def closing(gain):
    def act(h, v, strength, matrix):
        return h + gain * v

    return act


class Callable:
    def __init__(self, gain):
        self.gain = gain

    def __call__(self, h, v, strength, matrix):
        return h + self.gain * v


def made(text):
    names = {"__name__": "script"}
    exec(text, names)
    return names["act"]


def test_what_differs_in_code_or_values_differs():
    several = [
        scaled,
        helped,
        partial(scaled, gain=0.5),
        partial(scaled, gain=0.9),
        partial(add),
        closing(0.5),
        closing(0.9),
        closing(torch.tensor([0.5])),
        Callable(0.5),
        Callable(0.9),
        lambda h, v, strength, matrix: h + v,
        lambda h, v, strength, matrix: h - v,
        lambda h, v, strength, matrix: h + 2 * v,
    ]
    assert len({user_code(one) for one in several} | {None}) == len(several) + 1


def test_the_same_is_the_same():
    assert user_code(closing(0.5)) == user_code(closing(0.5))
    assert user_code(Callable(0.5)) == user_code(Callable(0.5))
    assert user_code(partial(scaled, gain=0.5)) == user_code(partial(scaled, gain=0.5))
    assert user_code(made("def act(h): return h")) == user_code(
        made("# moved\n\ndef act(h): return h")
    )


def test_functions_and_values_of_its_own_module_count():
    one = "GAIN = {}\ndef of(h): return h * {}\ndef act(h): return of(h) + GAIN"
    codes = {user_code(made(one.format(*v))) for v in ((1, 2), (1, 3), (2, 2))}
    assert len(codes) == 3


def test_a_function_that_calls_itself_ends():
    assert user_code(made("def act(n): return act(n - 1) if n else 0")) is not None


def test_mechclas_own_have_none():
    assert Operation(add).code is None
    for registry in (RECIPES, FAMILIES, ARMS):
        assert {name for name, value in registry.items() if user_code(value)} == set()
