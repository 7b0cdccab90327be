"""The dev part of a sweep: coarse to fine, then restoration and pairs, then one method per family.

The choice rule (`choose`, `mechcla.sweep.choosing`) says whether this is done for each language on
its own or for all together, and whose gains decide: with `language` its own, since vectors are a
language's own and the same strength helps one and harms another; with `pooled` the mean over
languages; with `shrunken` something between, language by language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mechcla.items.item import KINDS
from mechcla.steering.families import FAMILIES, steered
from mechcla.steering.grid import around, coarse_layers, named_layers, restorations
from mechcla.steering.method import Method
from mechcla.sweep.axes import Axes
from mechcla.sweep.cells import UNSTEERED, Job
from mechcla.sweep.choosing import CONSTRAINTS, RULES
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.dev_point import DevPoint, merge, within
from mechcla.sweep.rule import best, pareto_front, ranked
from mechcla.sweep.runner import Sweep
from mechcla.vectors.gates import GATE, Gate

Look = Callable[[Sequence[DevPoint]], Sequence[DevPoint]]  # points as a language sees them


@dataclass(frozen=True)
class Choice:
    """What dev decided for some languages, with the evidence it was decided on.

    points: as they were measured. chosen: as the choice rule sees them. compared: the points with
    both gains over the same languages, those that have both kinds; the front is theirs.
    """

    languages: tuple[str, ...]
    points: tuple[DevPoint, ...]
    compared: tuple[DevPoint, ...]
    front: tuple[DevPoint, ...]
    chosen: dict[str, DevPoint]

    def describe(self) -> dict[str, Any]:
        return {
            "languages": self.languages,
            "chosen": {family: p.describe() for family, p in self.chosen.items()},
            "pareto_front": [p.describe() for p in self.front],
            "points": [p.describe() for p in self.points],
        }


@dataclass(frozen=True)
class Choices:
    """Every language's choice; one and the same where the rule makes one for all. axes: what each
    language allows.
    """

    by_language: dict[str, Choice]
    axes: Axes

    @property
    def families(self) -> list[str]:
        return list(dict.fromkeys(f for c in self.by_language.values() for f in c.chosen))

    def languages(self, family: str) -> list[str]:
        """The languages that a family was chosen for."""
        able = self.axes.languages(family)
        return [k for k, c in self.by_language.items() if family in c.chosen and k in able]

    def method(self, family: str, language: str) -> Method:
        return self.by_language[language].chosen[family].method

    def methods(self) -> dict[str, dict[str, Method]]:
        """{family: {language: method}}: what is scored on test."""
        return {f: {k: self.method(f, k) for k in self.languages(f)} for f in self.families}

    @property
    def each(self) -> list[Choice]:
        return list({c.languages: c for c in self.by_language.values()}.values())

    @property
    def not_finite(self) -> list[dict[str, Any]]:
        """The dev cells that are not finite: never chosen, never averaged."""
        return [
            {"split": "dev", "language": language, "kind": kind} | p.method.describe()
            for c in self.each
            for p in c.points
            for language, kind in p.not_finite
            if language in c.languages
        ]

    def chosen(self) -> dict[str, dict[str, Any]]:
        """{family: {language: method}}, for the record; a gain that was not measured is None."""
        return {
            f: {k: _measured(self.by_language[k].chosen[f].describe()) for k in self.languages(f)}
            for f in self.families
        }

    def shared_points(self) -> list[DevPoint]:
        """Methods that were tried in every language of their family, their gains averaged."""
        points = [p for c in self.each for p in c.points]
        families = {p.method.family for p in points}
        return merge(points, {f: len(self.axes.languages(f)) for f in families})

    def __str__(self) -> str:
        lines = []
        for family in self.families:
            names = {k: self.method(family, k).name for k in self.languages(family)}
            same = len(set(names.values())) == 1 and len(names) == len(self.by_language)
            if "unsteered" in names.values() and not same:
                family = f"{family} (unsteered where dev gave no gain; counted as no change)"
            lines.append(
                f"  {family}: "
                + (
                    next(iter(names.values()))
                    if same
                    else "  ".join(f"{k} {n}" for k, n in names.items())
                )
            )
        return "\n".join(lines)


def _measured(value: Any) -> Any:
    """The same with None for nan, which is no JSON: the gain on a kind that a language has not."""
    if isinstance(value, dict):
        return {key: _measured(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_measured(part) for part in value)
    return None if isinstance(value, float) and math.isnan(value) else value


def choose(sweep: Sweep) -> Choices:
    """Sweep dev and choose; writes selection.json."""
    config, rule = sweep.config, RULES.get(sweep.config.choose)
    groups = rule.groups(sweep.languages)
    both = planned_cells(sweep.config, sweep.model.n_layers)
    sweep.bar.total = sum(both * len(sweep.axes.kinds[k]) // len(KINDS) for k in sweep.languages)
    # Every unsteered pass comes first: one that is not finite stops here, before a steered cell.
    for languages in [sweep.languages] if sweep.workers is not None else groups:
        jobs = [Job(UNSTEERED, k, kind, "dev") for k in languages for kind in sweep.axes.kinds[k]]
        for _ in sweep.run(jobs):
            pass
        if len(groups) > 1:
            sweep.forget()
    if sweep.workers is not None and not rule.together:
        sweep.workers.search(groups)
    choices = decide(sweep)
    sweep.store.select(
        {
            "rule": "mechcla.sweep.rule: on dev, EN by transfer, LOC by localization, SUR and "
            f"GATED by their sum or what the constraint says; {rule.does}; "
            f"{CONSTRAINTS.get(config.constraint).does}",
            "choose": config.choose,
            "constraint": config.constraint,
            **({"en_operator": config.en_operator} if config.en_operator else {}),
            "chosen": choices.chosen(),
            "not_finite": choices.not_finite,
            "choices": [c.describe() for c in choices.each],
        },
    )
    return choices


def decide(sweep: Sweep) -> Choices:
    """What dev decides for every language: searches, and chooses by the rule."""
    rule = RULES.get(sweep.config.choose)
    made: dict[str, Choice] = {}
    for languages in rule.groups(sweep.languages):
        dev = search(sweep, languages)
        for part in [[k] for k in languages] if rule.seen else [languages]:
            made |= dict.fromkeys(part, _choose(dev, part))
        sweep.forget()
    return Choices(made, sweep.axes)


@dataclass
class DevSearch:
    """Dev, as a family's search sees it: coarse layers, strengths, and a way to score methods;
    keeps every point.
    """

    sweep: Sweep
    languages: list[str]
    points: dict[Method, DevPoint] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        return self.sweep.model.n_layers

    @property
    def layers(self) -> list[int]:
        return coarse(self.sweep.config, self.n_layers)

    @property
    def pair_layers(self) -> int:
        return self.sweep.config.pair_layers

    def strengths(self, vector: str) -> list[float]:
        config = self.sweep.config
        return config.en_strengths if vector == "EN" else config.loc_strengths

    def of(self, family: str) -> DevSearch | None:
        """The same for the languages that allow a family; None where none does, or where the run
        has made no gate.
        """
        if GATE in FAMILIES.get(family).vectors and GATE not in self.sweep.vectors:
            return None
        able = [k for k in self.languages if k in self.sweep.axes.languages(family)]
        return DevSearch(self.sweep, able, self.points) if able else None

    def fine(self, best: int) -> list[int]:
        config = self.sweep.config
        reach = 0 if config.layers else config.refine
        return around(self.layers, [best], reach, self.n_layers) if reach else []

    def gate_layers(self) -> list[int]:
        made = self.sweep.vectors.get(GATE)
        if made is None or not set(self.languages) <= set(made.languages):
            return []
        return Gate.from_vectors(made).ranked(self.languages)

    @property
    def gate_scale(self) -> float | None:
        return self.sweep.config.gate_scale

    def restored(self) -> list[Method]:
        config = self.sweep.config
        return restored(config, self.layers, self.n_layers) if config.restore else []

    def score(self, methods: Sequence[Method], kinds: Sequence[str] = KINDS) -> list[DevPoint]:
        found = self.sweep.dev_points(methods, self.languages, kinds) if methods else []
        self.points |= {p.method: p for p in found}
        return found

    def ranked(self, family: str, k: int, by: str = "own") -> list[Method]:
        """The best methods over this search's languages: for both gains, those with both kinds."""
        axes = self.sweep.axes
        able = axes.having(*KINDS) if by == "sum" else axes.languages(family)
        points = over(self.points.values(), [x for x in self.languages if x in able])
        return [p.method for p in ranked(points, family, k, by)]


def over(points: Iterable[DevPoint], languages: Sequence[str]) -> list[DevPoint]:
    """Points over these of their languages; a point that has not all of them is left out."""
    found = (within(p, languages) for p in points)
    return [p for p in found if p is not None and len(p.by_language) == len(languages)]


def coarse(config: SweepConfig, n_layers: int) -> list[int]:
    """The layers of the coarse pass, or those that were named."""
    if config.layers:
        return named_layers(config.layers, n_layers)
    return coarse_layers(n_layers, config.coarse_step)


def restored(config: SweepConfig, layers: list[int], n_layers: int) -> list[Method]:
    """EN with restoration at the strength that is asked for."""
    strength = config.restore_strength
    return restorations(
        layers, max(config.en_strengths) if strength is None else strength, n_layers
    )


def planned_cells(config: SweepConfig, n: int) -> int:
    """About how many cells of dev one choice needs: the fine pass may find fewer layers to add."""
    layers = coarse(config, n)
    per_layer = len(config.en_strengths) + len(config.loc_strengths)
    fine = 0 if config.layers else 2 * config.refine
    both = (
        1 + (len(layers) + fine) * per_layer + config.pair_layers**2 + 2 * len(config.try_positions)
    )
    back = len(restored(config, layers, n)) if config.restore else 0
    return both * len(KINDS) + back + (config.pair_layers if back else 0)


def search(sweep: Sweep, languages: Sequence[str]) -> DevSearch:
    """Every family's search, over these languages together."""
    dev = DevSearch(sweep, list(languages))
    for family in steered():
        if family.search is not None and (mine := dev.of(family.name)):
            family.search(mine)
    return dev


def _choose(dev: DevSearch, languages: list[str]) -> Choice:
    """What is chosen for some of the languages that were searched together: all of them, or one,
    which then sees all their points as the choice rule shows them.
    """
    sweep, config = dev.sweep, dev.sweep.config
    seen = RULES.get(config.choose).seen
    own = DevSearch(sweep, languages, dev.points)

    def look(points: Sequence[DevPoint]) -> Sequence[DevPoint]:
        return points if seen is None else seen(points, languages[0])

    def decide() -> dict[str, DevPoint]:
        points = look(list(dev.points.values()))
        tried = {p.method.family for p in points}
        return {
            f.name: best(points, f.name, config.limits)
            if f.name in tried
            else DevPoint(UNSTEERED, 0.0, 0.0, {})  # no finite EN above a finite LOC
            for f in steered()
            if f.name in tried or (len(f.vectors) > 1 and own.of(f.name))
        }

    chosen = decide()
    if config.try_positions:
        _elsewhere(dev, chosen, look)
        chosen = decide()
    found = (within(p, languages) for p in dev.points.values())
    points = tuple(p for p in found if p is not None)
    able = [k for k in languages if k in sweep.axes.having(*KINDS)]
    both = tuple(p for p in over(points, able) if not math.isnan(p.d_transfer + p.d_localization))
    return Choice(tuple(languages), points, both, tuple(pareto_front(both)), chosen)


def _elsewhere(dev: DevSearch, chosen: dict[str, DevPoint], look: Look) -> None:
    """The chosen methods at other positions: what one vector makes, then what uses both at the
    better ones.
    """
    config = dev.sweep.config
    own = {"EN": config.en_positions, "LOC": config.loc_positions}
    better: dict[str, str] = {}
    for name, positions in own.items():
        method = chosen[name].method if name in chosen else UNSTEERED
        mine = dev.of(name)
        if mine and method != UNSTEERED:
            others = [p for p in config.try_positions if p != positions]
            tried = look(mine.score([method.at_positions({name: p}) for p in others]))
            found = best([chosen[name], *tried], name, config.limits).method
            moved = found.en_positions if name == "EN" else found.loc_positions
            better |= {name: moved} if moved else {}
    for family in (f for f in steered() if f.name in chosen and f.name not in own):
        method = chosen[family.name].method
        moved_to = {name: p for name, p in better.items() if name in family.vectors}
        other = method.at_positions(moved_to)
        mine = dev.of(family.name)
        if mine and method != UNSTEERED and other != method:
            mine.score([other])
