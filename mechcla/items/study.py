"""Study: dev is open, test is shut until a choice is frozen.

Choosing a layer on the items that are then reported makes any method look good. Here the test items
cannot be reached before the choice is written down, and the choice cannot be changed after.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet


@dataclass(frozen=True)
class FrozenChoice:
    """What was chosen, on which dev items, for which test items. Free of times, so equal work gives
    equal records.
    """

    choice_json: str
    dev_digest: str
    test_digest: str
    n_dev: int
    n_test: int

    @property
    def choice(self) -> dict[str, Any]:
        """A copy of the choice; changing it changes nothing here."""
        copy: dict[str, Any] = json.loads(self.choice_json)
        return copy

    @property
    def digest(self) -> str:
        """SHA-256 of the record: published before test is looked at, it registers the choice."""
        return hashlib.sha256(_canonical(self.to_dict()).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """A JSON object for the result to carry."""
        return {
            "choice": self.choice,
            "dev": {"digest": self.dev_digest, "items": self.n_dev},
            "test": {"digest": self.test_digest, "items": self.n_test},
        }


class Study:
    """Items of which dev can be looked at freely, and test only once a choice is frozen.

    Raises MechclaError if either split is empty. It guards what goes through it: whoever keeps the
    ItemSet that it was made from can still read `.test` there, and a choice made after an earlier
    look at test stays a choice made after a look at test. Source: ours; the habit it replaces is
    described in docs/statistics.md.

    >>> study = Study(items)
    >>> study.test
    Traceback (most recent call last):
        ...
    mechcla.errors.MechclaError: test is shut: ...
    >>> frozen = study.freeze({"method": "SUR", "en_layer": 9}); study.test
    ItemSet(579 items: en es ko; 381 universal, 198 cultural; 579 test)
    """

    __slots__ = ("_dev", "_record", "_test")

    def __init__(self, items: ItemSet) -> None:
        dev, test = items.dev, items.test
        if not len(dev) or not len(test):
            raise MechclaError(
                "a study needs dev items to choose on and test items to report on; "
                f"these are {items!r}"
            )
        self._dev, self._test = dev, test
        self._record: FrozenChoice | None = None

    @property
    def dev(self) -> ItemSet:
        """The items on which to extract vectors and choose layers and strengths."""
        return self._dev

    @property
    def test(self) -> ItemSet:
        """The items on which to report. Raises MechclaError until a choice is frozen."""
        if self._record is None:
            raise MechclaError(
                "test is shut: no choice is frozen yet, "
                "and a number is only a test number if what it tests was chosen before. "
                "Choose on study.dev, then study.freeze({'layer': 9, ...}), then study.test"
            )
        return self._test

    @property
    def record(self) -> FrozenChoice:
        """The frozen choice, for the result. Raises MechclaError until there is one."""
        if self._record is None:
            raise MechclaError(
                "no choice is frozen yet; study.freeze({'layer': 9, ...}) makes the record"
            )
        return self._record

    @property
    def choice(self) -> dict[str, Any]:
        """A copy of what was frozen. Raises MechclaError until something is."""
        return self.record.choice

    def freeze(self, choice: Mapping[str, Any]) -> FrozenChoice:
        """Write the choice down and open test. Once: the same choice again is fine, another one is
        refused.

        `choice` is anything that JSON can hold (numpy numbers too); interventions go in as
        `[e.describe() for e in edits]`, vectors by a digest. Raises MechclaError for a choice that
        is empty or not JSON, and for a second, different one.
        """
        if not choice:
            raise MechclaError(
                "the choice is empty; "
                "to report the unsteered model, freeze({'method': 'unsteered'})"
            )
        try:
            text = _canonical(dict(choice))
            text.encode()
        # UnicodeEncodeError, half a character, is a ValueError.
        except (TypeError, ValueError) as error:
            raise MechclaError(
                f"the choice is not JSON ({error}); give numbers, texts, lists and objects, "
                "interventions as [e.describe() for e in edits]"
            ) from error
        if self._record is None:
            self._record = FrozenChoice(
                text, self._dev.digest, self._test.digest, len(self._dev), len(self._test)
            )
        elif self._record.choice_json != text:
            raise MechclaError(
                f"{self._record.choice_json} is frozen and test is open, so {text} comes too late: "
                "it could have been chosen on test. "
                "A new choice needs new test items, in a new Study"
            )
        return self._record

    def __repr__(self) -> str:
        state = (
            "test shut"
            if self._record is None
            else f"frozen {self._record.choice_json}, {len(self._test)} test items"
        )
        return f"Study({len(self._dev)} dev items, {state})"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r:.60}")
