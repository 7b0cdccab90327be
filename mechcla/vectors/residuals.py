"""Residuals of single prompts, kept item by item: what geometry, and vectors beyond the mean, are
made from.

The steering vectors of `mechcla.vectors` need only sums. Intervals, permutation tests, PCA and
probes need every item, so here the last prompt token's activation of each is kept: items x layers x
d_model, in float32 (6 MB for 128 items of the demo model, 1.9 GB for 2,500 items of a 12B model),
in memory, or in a folder (`mechcla.vectors.spilled`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine.languages import Interventions, by_language
from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PIVOT, PromptForm
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import Chat, chat_settings
from mechcla.storage import digest, user_path
from mechcla.vectors import spilled
from mechcla.vectors.activations import Position, last_token_residuals

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


@dataclass(frozen=True, eq=False)
class Residuals:
    """Activations of one site: by language, one row per item, in the order of `ids`.

    record["position"] says of which tokens: a prompt's last, or the mean of those it wrote.
    """

    values: dict[str, Float[Tensor, "item layer d_model"]]
    ids: dict[str, tuple[str, ...]]
    site: str
    prompt: PromptForm
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.values)

    def __getitem__(self, language: str) -> Float[Tensor, "item layer d_model"]:
        if language not in self.values:
            raise MechclaError(
                f"no residuals of language {language!r}; {nearest(language, self.values)}"
            )
        return self.values[language]

    def paired(
        self, left: str, right: str
    ) -> tuple[Float[Tensor, "item layer d_model"], Float[Tensor, "item layer d_model"]]:
        """The rows of the questions that both languages have, in the same order."""
        if left not in self.ids or right not in self.ids:
            missing = left if left not in self.ids else right
            raise MechclaError(
                f"no residuals of language {missing!r}; {nearest(missing, self.values)}"
            )
        where = {i: k for k, i in enumerate(self.ids[right])}
        pairs = [(k, where[i]) for k, i in enumerate(self.ids[left]) if i in where]
        if not pairs:
            raise MechclaError(f"{left!r} and {right!r} have no question in common")
        rows, columns = zip(*pairs, strict=True)
        return self[left][list(rows)], self[right][list(columns)]


def cache_residuals(
    model: HookedModel,
    items: ItemSet,
    prompt: PromptForm = "implicit",
    site: str = "resid_post",
    interventions: Interventions | None = None,
    chat: bool | Chat = False,
    packed: bool = False,
    any_language: bool = False,
    position: Position = "last_prompt_token",
    folder: str | Path | None = None,
) -> Residuals:
    """Run every prompt once and keep its last token's activation at one site of every block.

    position: "mean_prompt_token" keeps the mean over the prompt's own tokens instead, in float32,
    which is what sentences are compared by.

    prompt: "implicit", or "explicit" for cultural items with their country cue. interventions: by
    language, how the model is steered meanwhile; languages that are not named run unsteered. One,
    or a list, is for all rows. So a steered model's geometry can be laid beside the plain one's.
    chat: prompts stand in the model's chat template. any_language: let a vector be added to another
    language's rows, which is else refused. packed: while hooks of your own are in place, prompts
    run one by one, unpadded; True pads them to batches all the same. folder: keep them there
    instead of in memory, mapped; a folder that holds the same residuals is read and nothing is run.
    Raises MechclaError for a folder that holds others.

    >>> h = cache_residuals(model, items.universal.dev); h["es"].shape
    torch.Size([128, 18, 64])
    """
    if not len(items):
        raise MechclaError(
            "there are no items to take residuals of; is the language, kind or split right?"
        )
    given = () if interventions is None else interventions
    edits = by_language(given, items.languages, model, chat, any_language)
    record = {
        "model": model.describe(),
        "items": items.digest,
        "position": position,
        **chat_settings(chat, model.tokenizer),
    }
    named = given if isinstance(given, Mapping) else edits if given else ()
    steered = {language: [step.describe() for step in edits[language]] for language in named}
    record |= {"interventions": steered} if steered else {}
    mine = {k: [i.id for i in items if i.language == k] for k in items.languages}
    shapes = {k: (len(ids), model.n_layers, model.d_model) for k, ids in mine.items()}
    about = {"site": site, "prompt": prompt, "record": record}
    place = None if folder is None else user_path(folder)
    if place is not None and (place / spilled.MANIFEST).exists():
        return _same(read_residuals(place), about, place)
    values = (
        {k: torch.empty(shape) for k, shape in shapes.items()}
        if place is None
        else spilled.opened(place, shapes)
    )
    counted: Counter[str] = Counter()
    at = []
    for item in items:
        at.append((item.language, counted[item.language]))
        counted[item.language] += 1
    together = [k for k, item in enumerate(items) if not edits.get(item.language)]
    groups = [(together, ())] + [
        ([k for k, i in enumerate(items) if i.language == lang], steps)
        for lang, steps in edits.items()
        if steps
    ]
    for places, steps in groups:
        texts = [items[k].prompt_text(prompt) for k in places]
        for indices, residuals in last_token_residuals(
            model, texts, site, edits=steps, chat=chat, packed=packed, position=position
        ):
            for row, i in enumerate(indices):
                language, k = at[places[i]]
                values[language][k] = residuals[:, row].float().cpu()
    if place is not None:
        spilled.close(place, mine, about)
        return read_residuals(place)
    return Residuals(values, {k: tuple(ids) for k, ids in mine.items()}, site, prompt, record)


def read_residuals(folder: str | Path) -> Residuals:
    """What `cache_residuals(..., folder=folder)` kept, mapped, every file verified.

    Raises MechclaError for a folder without residuals, and for a file that is damaged.

    >>> read_residuals("runs/residuals").languages                          # doctest: +SKIP
    ('en', 'es')
    """
    values, ids, about = spilled.read(user_path(folder))
    return Residuals(values, ids, about["site"], about["prompt"], about["record"])


def _same(held: Residuals, about: Mapping[str, Any], folder: Path) -> Residuals:
    """Residuals that are held already. Raises MechclaError, naming what differs, for others."""
    found = {"site": held.site, "prompt": held.prompt, **held.record}
    asked = {"site": about["site"], "prompt": about["prompt"], **about["record"]}
    for key in {**asked, **found}:
        if digest(found.get(key)) != digest(asked.get(key)):
            raise MechclaError(
                f"{str(folder)!r} holds residuals with {key} {found.get(key)!r}, and these have "
                f"{asked.get(key)!r}; expected another folder"
            )
    return held


def differences(
    plus: Float[Tensor, "item layer d_model"], minus: Float[Tensor, "item layer d_model"]
) -> Float[Tensor, "item layer d_model"]:
    """Item-wise plus - minus in float64; their mean is the difference-of-means vector."""
    return plus.double() - minus.double()


def top_directions(
    differences: Float[Tensor, "item layer d_model"], k: int = 4
) -> Float[Tensor, "layer k d_model"]:
    """The k leading right singular vectors of uncentred item-wise differences, by layer, in
    float64.

    Orthonormal; each points where the mean difference points. Raises MechclaError for more than
    there are items.
    """
    if not 1 <= k <= min(len(differences), differences.shape[-1]):
        raise MechclaError(
            f"k is {k}; {len(differences)} differences of width {differences.shape[-1]} have at "
            f"least 1 direction and at most {min(len(differences), differences.shape[-1])}"
        )
    found = []
    for layer in range(differences.shape[1]):
        rows = differences[:, layer].double()
        basis = torch.linalg.svd(rows, full_matrices=False).Vh[:k]
        found.append(basis * torch.where(basis @ rows.mean(0) < 0, -1.0, 1.0).unsqueeze(-1))
    return torch.stack(found)


def en_differences(
    universal: Residuals, language: str, pivot: str = PIVOT
) -> Float[Tensor, "item layer d_model"]:
    """h(English prompt) - h(prompt in the language), a row per parallel question."""
    return differences(*universal.paired(pivot, language))


def loc_differences(
    explicit: Residuals, implicit: Residuals, language: str
) -> Float[Tensor, "item layer d_model"]:
    """h(explicit prompt) - h(implicit prompt) in one language, a row per cultural question."""
    if explicit.ids.get(language) != implicit.ids.get(language):
        raise MechclaError(
            f"explicit and implicit residuals of {language!r} are not of the same questions"
        )
    return differences(explicit[language], implicit[language])
