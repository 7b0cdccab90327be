"""Gate: a direction per language and block that tells universal prompts from cultural ones.

    d = mean over universal prompts of h_l - mean over implicit cultural prompts of h_l
    direction = 2 d / |d|^2        threshold = direction . (the midpoint of the two means)

h_l is the residual behind block l at the last prompt token of one language's prompts. The margin
h . direction - threshold is then +1 at the universal mean and -1 at the cultural one, in every
language and block, so that the scale of a soft gate means the same everywhere. Above 0 a prompt is
taken for universal. Source: a difference of means after conditional activation steering (Lee et
al., arXiv 2409.05907), whose direction is a principal component and whose threshold a grid search.

How well it tells them is measured with each topic left out in turn: a prompt is judged by means in
which no prompt of its topic took part. Even so it is an accuracy on prompts of one source;
docs/gate.md has it on others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechcla.engine.gating import SITE, PromptGate
from mechcla.engine.intervention import chat_of
from mechcla.errors import MechclaError, nearest, unknown
from mechcla.items.item import KINDS
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import Chat, chat_settings
from mechcla.vectors.activations import last_token_residuals
from mechcla.vectors.extract import half_signs
from mechcla.vectors.steering_vectors import SteeringVectors

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

GATE, SHUFFLED = "GATE", "GATE shuffled"  # as a run names them
SIDE_OF = {"universal": "above", "cultural": "below"}


@dataclass(frozen=True, eq=False)
class Gate:
    """A gate per language and block, with what it was made from.

    directions[L]: [layer, d_model]; thresholds[L] and accuracy[L]: [layer]; counts[L]: how many
    prompts it was made from. accuracy: the share of prompts told rightly with their topic left out,
    averaged over the two kinds. record: model and items digests and settings.
    """

    name: str
    directions: dict[str, Float[Tensor, "layer d_model"]]
    thresholds: dict[str, Float[Tensor, " layer"]]
    accuracy: dict[str, Float[Tensor, " layer"]]
    norms: dict[str, Float[Tensor, " layer"]]
    counts: dict[str, int]
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.directions)

    def at(self, language: str, layer: int, kind: str, scale: float | None = None) -> PromptGate:
        """The gate of one language and block that lets an edit act on prompts of a kind.

        scale: None is a hard gate; else the margin at which sigmoid(1) of the edit acts, where the
        means of the two kinds have the margins +1 and -1. Raises MechclaError for a language, layer
        or kind that there is not.
        """
        if kind not in SIDE_OF:
            raise unknown("kind", kind, SIDE_OF)
        stack = self._of(language, self.directions)
        if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < len(stack):
            raise MechclaError(f"layer {layer!r}: the gate has layers 0 to {len(stack) - 1}")
        return PromptGate(
            stack[layer],
            layer,
            float(self.thresholds[language][layer]),
            SIDE_OF[kind],
            scale,
            self.name,
            self.record.get("model", {}).get("digest"),
            chat_of(self.record),
            language,
        )

    def margins(
        self, language: str, residuals: Float[Tensor, "item layer d_model"]
    ) -> Float[Tensor, "item layer"]:
        """What the gate makes of these residuals: above 0 is universal."""
        stack = self._of(language, self.directions)
        read = torch.einsum("ild,ld->il", residuals.double(), stack.double())
        return read - self.thresholds[language].double()

    def ranked(self, languages: Sequence[str]) -> list[int]:
        """Blocks by accuracy over these languages, best first; of two alike the earlier one."""
        mean = torch.stack([self._of(k, self.accuracy) for k in languages]).nan_to_num(0.0).mean(0)
        return sorted(range(len(mean)), key=lambda layer: (-round(float(mean[layer]), 12), layer))

    def _of(self, language: str, values: Mapping[str, Tensor]) -> Tensor:
        if language not in values:
            raise MechclaError(
                f"no {self.name} for language {language!r}; {nearest(language, values)}"
            )
        return values[language]

    def to_vectors(self) -> SteeringVectors:
        """The directions as `SteeringVectors`, with thresholds and accuracy in their record."""
        lists = {
            name: {k: values.double().tolist() for k, values in by.items()}
            for name, by in (("thresholds", self.thresholds), ("accuracy", self.accuracy))
        }
        record = self.record | {"gate": lists}
        return SteeringVectors(self.name, SITE, self.directions, self.norms, self.counts, record)

    @classmethod
    def from_vectors(cls, vectors: SteeringVectors) -> Gate:
        """What `to_vectors` made. Raises MechclaError for vectors that are no gate."""
        record = dict(vectors.record)
        lists = record.pop("gate", None)
        if not isinstance(lists, dict) or set(lists) != {"thresholds", "accuracy"}:
            raise MechclaError(
                f"the {vectors.name!r} vectors are no gate; expected what Gate.save wrote"
            )
        thresholds, accuracy = (
            {k: torch.tensor(v, dtype=torch.float64) for k, v in lists[name].items()}
            for name in ("thresholds", "accuracy")
        )
        return cls(
            vectors.name,
            vectors.vectors,
            thresholds,
            accuracy,
            vectors.norms,
            vectors.counts,
            record,
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, sealed by its digest; `load` reads it back to the last bit.

        Raises MechclaError where the operating system refuses to write.
        """
        self.to_vectors().save(path)

    @classmethod
    def load(cls, path: str | Path) -> Gate:
        """Read what `save` wrote, and verify it. Raises MechclaError for any other file."""
        return cls.from_vectors(SteeringVectors.load(path))

    def __repr__(self) -> str:
        shape = "x".join(map(str, next(iter(self.directions.values())).shape))
        return f"Gate({self.name}, {shape}, {' '.join(self.languages)})"


def gate_vectors(
    model: HookedModel,
    items: ItemSet,
    *,
    chat: bool | Chat = False,
    packed: bool = False,
) -> Gate:
    """The gate of every language that has universal and cultural items, for every block.

    Prompts are the universal ones and the implicit cultural ones. chat: they stand in the model's
    chat template. packed: while hooks of your own are in place, prompts run one by one, unpadded;
    True pads them to batches all the same. The residuals of one language are held at a time.
    Raises MechclaError where no language has two items of both kinds. Source: ours.

    >>> gate = mechcla.gate_vectors(model, items.dev)
    >>> gate.directions["es"].shape
    torch.Size([18, 64])
    """
    return gates(model, items, chat=chat, packed=packed)[GATE]


def gates(
    model: HookedModel,
    items: ItemSet,
    *,
    shuffled: bool = False,
    seed: int = 0,
    chat: bool | Chat = False,
    packed: bool = False,
) -> dict[str, Gate]:
    """The gate, and with `shuffled` one of which the kind of half of the questions was exchanged
    (by seed): {"GATE": ..., "GATE shuffled": ...}.
    """
    names = (GATE, SHUFFLED) if shuffled else (GATE,)
    parts: dict[str, dict[str, _Part]] = {name: {} for name in names}
    for language in _able(items):
        asked = items.language(language)
        rows: list[Tensor] = [torch.empty(0)] * len(asked)
        for indices, found in last_token_residuals(
            model, [i.prompt for i in asked], SITE, chat=chat, packed=packed
        ):
            for column, i in enumerate(indices):
                rows[i] = found[:, column].float().cpu()
        _add(parts, asked, torch.stack(rows), half_signs(items, seed))
    how = chat_settings(chat, model.tokenizer)
    return {name: _gate(name, of, model, items, how, seed) for name, of in parts.items()}


def gates_of_rows(
    model: HookedModel,
    items: ItemSet,
    rows: Float[Tensor, "item layer d_model"],
    *,
    shuffled: bool = False,
    seed: int = 0,
) -> dict[str, Gate]:
    """The same of residuals that are there already, a row per item, in the items' order."""
    names = (GATE, SHUFFLED) if shuffled else (GATE,)
    parts: dict[str, dict[str, _Part]] = {name: {} for name in names}
    signs = half_signs(items, seed)
    for language in _able(items):
        mine = torch.tensor([i.language == language for i in items])
        _add(parts, items.language(language), rows[mine], signs)
    how = chat_settings(False, model.tokenizer)
    return {name: _gate(name, of, model, items, how, seed) for name, of in parts.items()}


def _able(items: ItemSet) -> list[str]:
    able = [
        language
        for language in items.languages
        if all(sum((i.language, i.kind) == (language, k) for i in items) > 1 for k in KINDS)
    ]
    if not able:
        raise MechclaError(
            "a gate needs two universal and two cultural items in one language; these are "
            f"{items!r}"
        )
    return able


def _add(
    parts: Mapping[str, dict[str, _Part]],
    asked: ItemSet,
    rows: Float[Tensor, "item layer d_model"],
    signs: Mapping[str, int],
) -> None:
    (language,) = asked.languages
    universal = torch.tensor([i.kind == "universal" for i in asked])
    topics = [i.topic or f"{i.kind} {i.id}" for i in asked]
    for name, into in parts.items():
        swapped = torch.tensor([name == SHUFFLED and signs[i.id] < 0 for i in asked])
        into[language] = _part(rows, universal ^ swapped, topics)


def _gate(
    name: str,
    parts: Mapping[str, _Part],
    model: HookedModel,
    items: ItemSet,
    how: Mapping[str, Any],
    seed: int,
) -> Gate:
    record = {
        "model": model.describe(),
        "items": items.digest,
        "site": SITE,
        "position": "last_prompt_token",
        **how,
        **({"shuffled_seed": seed} if name == SHUFFLED else {}),
    }
    return Gate(
        name,
        {k: p.directions for k, p in parts.items()},
        {k: p.thresholds for k, p in parts.items()},
        {k: p.accuracy for k, p in parts.items()},
        {k: p.norms for k, p in parts.items()},
        {k: p.count for k, p in parts.items()},
        record,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    directions: Float[Tensor, "layer d_model"]
    thresholds: Float[Tensor, " layer"]
    accuracy: Float[Tensor, " layer"]
    norms: Float[Tensor, " layer"]
    count: int


def _part(
    rows: Float[Tensor, "item layer d_model"], universal: Bool[Tensor, " item"], topics: list[str]
) -> _Part:
    directions, thresholds = _between(
        rows[universal].double().mean(0), rows[~universal].double().mean(0)
    )
    norms = rows[~universal].double().norm(dim=-1).mean(0).float()
    right = left_out(rows, universal, topics)
    accuracy = (right[universal].mean(0) + right[~universal].mean(0)) / 2
    return _Part(directions, thresholds, accuracy, norms, len(rows))


def _between(
    universal: Float[Tensor, "layer d_model"], cultural: Float[Tensor, "layer d_model"]
) -> tuple[Float[Tensor, "layer d_model"], Float[Tensor, " layer"]]:
    """Direction (float32) and threshold (float64) between two means."""
    d = universal - cultural
    direction = (2 * d / (d * d).sum(-1, keepdim=True).clamp_min(1e-30)).float()
    return direction, (direction.double() * (universal + cultural) / 2).sum(-1)


def left_out(
    rows: Float[Tensor, "item layer d_model"], universal: Bool[Tensor, " item"], topics: list[str]
) -> Float[Tensor, "item layer"]:
    """1 where a row is told rightly by means without its topic, else 0.

    Of a kind that has one topic alone each row is left out by itself. nan where nothing is left of
    a kind.
    """
    named = [f"{kind} {topic}" for kind, topic in zip(universal.tolist(), topics, strict=True)]
    for kind in (True, False):
        mine = {n for n, k in zip(named, universal.tolist(), strict=True) if k is kind}
        if len(mine) == 1:
            named = [f"{n} {i}" if n in mine else n for i, n in enumerate(named)]
    exact = rows.double()
    right = torch.zeros(len(rows), rows.shape[1], dtype=torch.float64)
    for group in dict.fromkeys(named):
        out = torch.tensor([n == group for n in named])
        kept = [exact[side & ~out] for side in (universal, ~universal)]
        if not all(len(part) for part in kept):
            right[out] = torch.nan
            continue
        direction, threshold = _between(*(part.mean(0) for part in kept))
        margin = torch.einsum("ild,ld->il", exact[out], direction.double()) - threshold
        right[out] = ((margin > 0) == universal[out].unsqueeze(-1)).double()
    return right
