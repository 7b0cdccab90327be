"""Study: dev is open, test is shut until a choice is frozen; new items are looked at once.

Choosing a layer on the items that are then reported makes any method look good. Here the test items
cannot be reached before the choice is written down, and the choice cannot be changed after. A
choice whose rule or grid was settled after a look at test is tested on new items, `split: confirm`,
whose one look is recorded in a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.items.texts import clip
from mechcla.storage import read_sealed, user_path, write_sealed

LOOK = "look.json"  # the record of the one look at confirmation items, in the folder of its run


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

    Items of `split: confirm` among them are neither; `confirm` gives them, for one choice.

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

    __slots__ = ("_confirm", "_dev", "_record", "_test")

    def __init__(self, items: ItemSet) -> None:
        dev, test = items.dev, items.test
        if not len(dev) or not len(test):
            raise MechclaError(
                "a study needs dev items to choose on and test items to report on; "
                f"these are {items!r}"
            )
        self._dev, self._test, self._confirm = dev, test, items.confirm
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

    def confirm(self, folder: str | Path) -> ItemSet:
        """The confirmation items, for one look under the frozen choice, recorded in a folder.

        The first call writes `look.json` there, before it gives the items: the choice, the digests
        of the choice's record and of the items, and a digest of the whole. A later call, in any
        process, gives them again for the same choice (a run that goes on), and refuses another one.
        The folder is the run's, or one that is committed, so that the record goes with the result.

        Raises MechclaError before a choice is frozen, where there are no confirmation items, and
        for a record in the folder that is damaged, of another choice or of other items. As the
        rest of a Study, it guards what goes through it. Source: ours.

        >>> study = Study(mechcla.load_items("demo") + mechcla.load_items("confirm"))
        >>> frozen = study.freeze({"method": "LOC", "loc_layer": 12, "loc_strength": 2.0})
        >>> study.confirm("runs/confirm").languages
        ('en', 'es', 'zh', 'id', 'ko', 'el', 'fa')
        """
        frozen = self.record
        if not len(self._confirm):
            raise MechclaError(
                f"none of these items is of split 'confirm' ({self!r}); add a set that is, such as "
                "mechcla.load_items('confirm') or mechcla.load_items('confirm-2')"
            )
        mine = {
            "choice": frozen.choice,
            "frozen": frozen.digest,
            "confirm": {"digest": self._confirm.digest, "items": len(self._confirm)},
        }
        path = user_path(folder) / LOOK
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sealed(path, mine)
            return self._confirm
        found = read_sealed(path, *mine)
        if found is None:
            raise MechclaError(
                f"{str(path)!r}, the record of the look at the confirmation items, is damaged; put "
                "a copy of it back"
            )
        if found["confirm"] != mine["confirm"]:
            raise MechclaError(
                f"{str(path)!r} records a look at other items (digest "
                f"{found['confirm']['digest'][:16]}, these have {self._confirm.digest[:16]}); "
                "name another folder for these"
            )
        if found["frozen"] != frozen.digest:
            raise MechclaError(
                "the confirmation items were looked at before, under another choice: "
                f"{clip(_canonical(found['choice']))} (record {found['frozen'][:16]} in "
                f"{str(path)!r}), and now {clip(frozen.choice_json)} ({frozen.digest[:16]}). "
                "A second look could be chosen by the first; another choice needs new items"
            )
        return self._confirm

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
