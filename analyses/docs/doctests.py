"""Griffe extension: examples of docstrings are blocks of code on the reference's pages."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"(?:^>>>.*(?:\n(?!>>>)\S.*|\n>>>.*|\n\.\.\..*)*\n?)", re.MULTILINE)


def fenced(docstring: str) -> str:
    """The docstring with its examples in fences, and without doctest's directives."""
    plain = re.sub(r" *# doctest:.*$", "", docstring, flags=re.MULTILINE)
    return EXAMPLE.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", plain)


class Doctests(griffe.Extension):
    """Changes every docstring that has an example."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
