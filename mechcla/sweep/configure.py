"""configure: the layers, strengths and positions for a model and items, in one call, with the
evidence.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError, nearest
from mechcla.items.item import KINDS
from mechcla.items.item_set import ItemSet
from mechcla.items.study import FrozenChoice
from mechcla.models.chat import Chat
from mechcla.models.hooked_model import HookedModel
from mechcla.steering.grid import restorations
from mechcla.steering.method import Method
from mechcla.sweep.axes import MADE_OF
from mechcla.sweep.cells import pivot
from mechcla.sweep.config import SweepConfig, make
from mechcla.sweep.finite import listed
from mechcla.sweep.held import held_settings, item_settings
from mechcla.sweep.runner import open_sweep
from mechcla.sweep.search import Choices, choose
from mechcla.vectors.steering_vectors import SteeringVectors

TRIED = ["last_prompt_token", "prompt_and_answer"]


@dataclass(frozen=True)
class Configuration:
    """What dev chose, by family (EN, EN+restore, LOC, SUR) and language, and what it was chosen
    from.

    cells: scored on the way, one being a method on one language's dev items of one kind. full_grid:
    cells of every layer and strength of both vectors, every restoration and every pair of layers.
    record: the frozen choice, with the digests of the items it was made on. Limit: the best of what
    was tried on so many dev items; report on test.
    """

    choices: Choices
    vectors: dict[str, SteeringVectors] = field(repr=False)
    config: SweepConfig = field(repr=False)
    cells: int
    full_grid: int
    record: FrozenChoice

    @property
    def fraction(self) -> float:
        """The cost as a share of the full grid's."""
        return self.cells / self.full_grid

    def method(self, family: str, language: str) -> Method:
        """Layers, strengths and positions; Method() where dev gave no gain."""
        if family not in self.choices.families:
            raise MechclaError(f"no family {family!r}; {nearest(family, self.choices.families)}")
        if language not in (chosen := self.choices.languages(family)):
            raise MechclaError(
                f"no {family} was chosen for {language!r}; {nearest(language, chosen)}"
            )
        return self.choices.method(family, language)

    def interventions(self, family: str, language: str) -> tuple[Intervention, ...]:
        """What `mechcla.score` takes; () where the unsteered model was the best."""
        return self.method(family, language).interventions(
            self.vectors, language, self.config.manner
        )

    def __str__(self) -> str:
        lost = listed(self.choices.not_finite)
        return (
            f"chosen on dev, {self.cells} cells scored, {self.fraction:.1%} of the full grid's "
            f"{self.full_grid}:\n"
            f"{self.choices}" + (f"\n{lost}" if lost else "")
        )


def configure(
    model: HookedModel,
    items: ItemSet,
    languages: Sequence[str] | str | None = None,
    *,
    out: str | None = None,
    **settings: Any,
) -> Configuration:
    """Choose layers, strengths and positions of EN, LOC and Surgical Steering on the dev items.

    Coarse to fine: every fourth layer, the neighbours of the best one, pairs of the best layers of
    either vector, then other positions at what was chosen; a language at a time. The rule is
    `mechcla.sweep.rule`'s, and test items are not scored. settings: any of `python -m mechcla.sweep
    --help`, e.g. coarse_step=2, dev_items=None, en_strengths=[0.3, 0.6]; chat is True, False or a
    `mechcla.Chat`. out: keep every cell's scores in this run folder, so that an interrupted call
    goes on, and `python -m mechcla.sweep --config OUT/config.yaml` sweeps with the same settings.
    Raises MechclaError for a setting that does not exist or that the model is otherwise, and for
    items without a language beside English or without one of the splits. Where items of one kind
    are lacking, the families that need them are left out (stderr says which). Operationalisation:
    ours.

    >>> found = mechcla.configure(model, items, ["es"], dev_items=4, coarse_step=6)
    >>> steps = found.interventions("SUR", "es")
    """
    for name in ("preset", "config"):
        if name in settings:
            raise MechclaError(
                f"configure takes settings themselves, not {name}={settings[name]!r}; expected "
                "e.g. coarse_step=2"
            )
    if languages is not None:
        named = [languages] if isinstance(languages, str) else languages
        items = items.language(*pivot(items), *named)
    with ExitStack() as stack:
        folder = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="mechcla-"))
        if isinstance(how := settings.get("chat"), Chat):
            of_chat = {
                "chat_template_args": how.template_args,
                "system_prompt": how.system,
                "chat_date": how.date,
            }
            for name in of_chat:
                if name in settings:
                    raise MechclaError(
                        f"{name}={settings[name]!r} is given beside chat={how!r}, which says it "
                        "too; expected one of the two"
                    )
            settings |= {"chat": True, **of_chat}
        given = {"try_positions": TRIED, "controls": False, "layers": None} | settings
        given |= {**held_settings(model, settings), **item_settings(items), "out": folder}
        config = make(given)
        sweep = stack.enter_context(closing(open_sweep(config, model, items)))
        choices = choose(sweep)
        record = sweep.study.freeze(choices.chosen())
    grid = sum(full_grid(model.n_layers, config, sweep.axes.kinds[k]) for k in sweep.languages)
    return Configuration(choices, sweep.vectors, config, len(sweep.counted), grid, record)


def full_grid(n_layers: int, config: SweepConfig, kinds: Sequence[str] = KINDS) -> int:
    """Cells of one language's full grid: every layer and strength, restoration and pair, on the
    kinds that it has, in one position.
    """
    en = len(config.en_strengths) if MADE_OF["EN"] in kinds else 0
    loc = len(config.loc_strengths) if MADE_OF["LOC"] in kinds else 0
    pairs = n_layers * (n_layers - 1) // 2 * en * loc
    back = config.restore and en
    restored = len(restorations(list(range(n_layers)), 1.0, n_layers)) if back else 0
    return (1 + n_layers * (en + loc) + pairs + restored) * len(kinds)
