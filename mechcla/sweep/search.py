"""The dev part of a sweep: coarse to fine, then restoration and pairs, then one method a family.

With `choose: language` (the default) this is done for each language on its own: vectors are a language's own, and
the same strength helps one language and harms another. With `choose: pooled` one choice serves all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mechcla.storage import write_json
from mechcla.sweep.cells import KINDS, UNSTEERED, Method
from mechcla.sweep.config import SweepConfig
from mechcla.sweep.grid import around, coarse_layers, grid, pairs, restorations
from mechcla.sweep.rule import DevPoint, best, merge, pareto_front, ranked
from mechcla.sweep.runner import Sweep


@dataclass(frozen=True)
class Choice:
    """What dev decided for some languages, with the evidence it was decided on."""

    languages: tuple[str, ...]
    points: tuple[DevPoint, ...]
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
    """Every language's choice; one and the same in pooled mode."""

    by_language: dict[str, Choice]

    @property
    def families(self) -> list[str]:
        return list(dict.fromkeys(f for c in self.by_language.values() for f in c.chosen))

    def method(self, family: str, language: str) -> Method:
        return self.by_language[language].chosen[family].method

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
        ]

    def chosen(self) -> dict[str, dict[str, Any]]:
        """{family: {language: method}}, for the record."""
        return {
            f: {k: c.chosen[f].describe() for k, c in self.by_language.items()}
            for f in self.families
        }

    def shared_points(self) -> list[DevPoint]:
        """Methods that were tried in every language, their gains averaged over languages."""
        return merge([p for c in self.each for p in c.points], len(self.by_language))

    def __str__(self) -> str:
        lines = []
        for family in self.families:
            names = {k: self.method(family, k).name for k in self.by_language}
            same = len(set(names.values())) == 1
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


def choose(sweep: Sweep) -> Choices:
    """Sweep dev and choose; writes selection.json."""
    groups = (
        [[k] for k in sweep.languages] if sweep.config.choose == "language" else [sweep.languages]
    )
    plan = _Plan.of(sweep.config, sweep.model.n_layers)
    sweep.bar.total = plan.cells * len(
        sweep.languages
    )  # about: the fine pass may find fewer layers to add
    made: dict[str, Choice] = {}
    for (
        languages
    ) in groups:  # an unsteered pass that is not finite stops here, before a steered cell
        for language in languages:
            for kind in KINDS:
                sweep.unsteered(language, kind)
        if len(groups) > 1:
            sweep.forget()
    for languages in groups:
        choice = _choose(sweep, languages, plan)
        made |= dict.fromkeys(languages, choice)
        sweep.forget()
    choices = Choices(made)
    write_json(
        sweep.store.folder / "selection.json",
        {
            "rule": "mechcla.sweep.rule: EN by transfer, LOC by localization, SUR by their sum, on dev",
            "choose": sweep.config.choose,
            "chosen": choices.chosen(),
            "not_finite": choices.not_finite,
            "choices": [c.describe() for c in choices.each],
        },
    )
    return choices


@dataclass(frozen=True)
class _Plan:
    """The cells that are known beforehand."""

    layers: list[int]
    strengths: dict[str, list[float]]
    restored: list[Method]
    cells: int

    @classmethod
    def of(cls, config: SweepConfig, n: int) -> _Plan:
        layers = (
            sorted(set(config.layers)) if config.layers else coarse_layers(n, config.coarse_step)
        )
        strengths = {"EN": config.en_strengths, "LOC": config.loc_strengths}
        strength = (
            max(config.en_strengths) if config.restore_strength is None else config.restore_strength
        )
        restored = restorations(layers, strength, n) if config.restore else []
        fine = 0 if config.layers else 2 * config.refine
        per_layer = sum(map(len, strengths.values()))
        cells = (1 + (len(layers) + fine) * per_layer + config.pair_layers**2) * len(KINDS) + len(
            restored
        )
        cells += config.pair_layers if restored else 0
        cells += 2 * len(config.try_positions) * len(KINDS)
        return cls(layers, strengths, restored, cells)


def _choose(sweep: Sweep, languages: list[str], plan: _Plan) -> Choice:
    config, n = sweep.config, sweep.model.n_layers
    points: list[DevPoint] = []
    for family, strengths in plan.strengths.items():
        points += sweep.dev_points(grid(family, plan.layers, strengths), languages)
    if not config.layers and config.refine:
        for family, strengths in plan.strengths.items():
            for top in ranked(points, family, 1):  # none, where nothing of the family is finite
                centre = top.method.en_layer if family == "EN" else top.method.loc_layer
                fine = around(plan.layers, [centre or 0], config.refine, n)
                points += sweep.dev_points(grid(family, fine, strengths), languages)
    en = [p.method for p in ranked(points, "EN", n, by="sum")]
    loc = [p.method for p in ranked(points, "LOC", n, by="sum")]
    most = config.pair_layers**2
    couples = pairs(en, loc, most)
    if plan.restored:
        restored = sweep.dev_points(plan.restored, languages, ("universal",))
        kept = [p.method for p in ranked(restored, "EN+restore", config.pair_layers)]
        points += sweep.dev_points(kept, languages)
        points += [p for p in restored if p.method not in kept]
        half = (most + 1) // 2
        couples = couples[:half] + pairs(kept, loc, most - half)
    points += sweep.dev_points(couples, languages)
    families = list(dict.fromkeys([*(p.method.family for p in points), "SUR"]))

    def decide() -> dict[str, DevPoint]:
        return {
            family: best(points, family, config.tolerance)
            if couples or family != "SUR"
            else DevPoint(UNSTEERED, 0.0, 0.0, {})  # no finite EN above a finite LOC
            for family in families
        }

    chosen = decide()
    if config.try_positions:
        points += _elsewhere(sweep, languages, chosen)
        chosen = decide()
    both = [
        p for p in points if p.d_transfer == p.d_transfer and p.d_localization == p.d_localization
    ]
    return Choice(tuple(languages), tuple(points), tuple(pareto_front(both)), chosen)


def _elsewhere(sweep: Sweep, languages: list[str], chosen: dict[str, DevPoint]) -> list[DevPoint]:
    """The chosen methods at other positions: EN and LOC each, then what uses both at the better ones."""
    config = sweep.config
    tried: list[DevPoint] = []
    better: dict[str, str | None] = {}
    for family, part, own in (
        ("EN", "en_positions", config.en_positions),
        ("LOC", "loc_positions", config.loc_positions),
    ):
        method = chosen[family].method
        if method != UNSTEERED:
            others = [p for p in config.try_positions if p != own]
            tried += sweep.dev_points([_moved(method, {part: p}) for p in others], languages)
            better[part] = getattr(
                best([chosen[family], *tried], family, config.tolerance).method, part
            )
    for family in ("EN+restore", "SUR"):
        method = chosen[family].method if family in chosen else UNSTEERED
        moved = _moved(
            method,
            {k: v for k, v in better.items() if v and (k == "en_positions" or family == "SUR")},
        )
        if UNSTEERED not in (method, moved) and moved != method:
            tried += sweep.dev_points([moved], languages)
    return tried


def _moved(method: Method, positions: dict[str, str]) -> Method:
    return replace(
        method,
        en_positions=positions.get("en_positions", method.en_positions),
        loc_positions=positions.get("loc_positions", method.loc_positions),
    )
