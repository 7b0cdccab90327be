"""EN and LOC vectors: one way from items to vectors, by any recipe, with the controls of an arm.

    v_EN[L, l]  = mean over parallel universal items of h_l(English prompt) - h_l(prompt in L)
    v_LOC[L, l] = mean over cultural items of h_l(explicit prompt in L) - h_l(implicit prompt in L)

h_l is the activation at one site of block l (default resid_post) at the last prompt token. The
means are streaming float64 sums; other recipes (`RECIPES`) take the same prompts' activations, kept
item by item, and every recipe those of `cache_residuals`. Source: the mean-difference contrasts of
Lim et al. (2505.13141) and Veselovsky et al. (2504.10191); that these are the source paper's own
recipes is our inference. A direction found this way separates two sets of prompts; whether it
causes anything is what steering tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mechcla.engine.offload import ResidualCache
from mechcla.errors import MechclaError, nearest, unknown
from mechcla.items.item import PIVOT, Item, PromptForm
from mechcla.items.item_set import ItemSet, pair_ids
from mechcla.models.chat import Chat, chat_settings
from mechcla.vectors.activations import Request, See, last_token_residuals, streaming_means
from mechcla.vectors.recipes import RECIPES, UNPAIRED, Recipe
from mechcla.vectors.residuals import Residuals
from mechcla.vectors.steering_vectors import SteeringVectors, like

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel

# By the cue that is named: the item's own country, the United States.
LOC_NAMES = {"explicit": "LOC", "us": "LOC US"}
CONTROLS = ("shuffled", "us")
MEAN = "mean_difference"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One item's prompt on one side of one vector.

    Where a recipe takes pairs, a question has one prompt on each side, and the order is the same on
    both.
    """

    item: Item
    form: PromptForm
    name: str
    language: str  # the vector's, which for EN's English side is not the item's
    side: int  # +1 or -1

    @property
    def text(self) -> str:
        return self.item.prompt_text(self.form)


def en_prompts(items: ItemSet, pivot: str = PIVOT, paired: bool = True) -> list[Prompt]:
    """The prompts of v_EN. paired: parallel ones only; else all of both languages.

    Raises MechclaError where there is no language beside the pivot, or nothing parallel.
    """
    universal = items.universal
    if pivot not in universal.languages:
        raise MechclaError(
            f"EN vectors need universal items in {pivot!r}; {nearest(pivot, universal.languages)}"
        )
    others = [language for language in universal.languages if language != pivot]
    if not others:
        raise MechclaError(
            f"EN vectors need universal items in a language beside {pivot!r}; these are "
            f"{pivot!r} only"
        )
    prompts: list[Prompt] = []
    for language in others:
        left, right = universal.language(pivot), universal.language(language)
        pairs = pair_ids(left, right)
        if paired and not pairs:
            raise MechclaError(
                f"no universal item of {language!r} shares its id with one of {pivot!r}"
            )
        for one, two in pairs if paired else ():
            prompts += _pair((one, "implicit"), (two, "implicit"), "EN", language)
        if not paired:
            prompts += [Prompt(i, "implicit", "EN", language, +1) for i in left]
            prompts += [Prompt(i, "implicit", "EN", language, -1) for i in right]
    return prompts


def loc_prompts(items: ItemSet, cue: PromptForm = "explicit") -> list[Prompt]:
    """The prompts of v_LOC; with the cue "us", of the vector of the United States."""
    if not len(items.cultural):
        raise MechclaError("LOC vectors need cultural items; these are universal only")
    if cue not in LOC_NAMES:
        raise unknown("cue", cue, LOC_NAMES)
    prompts: list[Prompt] = []
    for item in items.cultural:
        item.prompt_text(cue)  # refuses an item that has no such prompt
        prompts += _pair((item, cue), (item, "implicit"), LOC_NAMES[cue], item.language)
    return prompts


Asked = tuple[Item, PromptForm]


def _pair(plus: Asked, minus: Asked, name: str, language: str) -> list[Prompt]:
    return [Prompt(*plus, name, language, +1), Prompt(*minus, name, language, -1)]


def half_signs(items: ItemSet, seed: int = 0) -> dict[str, int]:
    """+1 or -1 by id: -1 for exactly half of the questions of each kind (to one).

    So little of the real direction is left in the mean; where a language has only some of the
    questions, its own halves may be uneven, and more of it is left.
    """
    signs: dict[str, int] = {}
    for kind in (items.universal, items.cultural):
        ids = sorted(set(kind.ids))
        order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed)).tolist()
        signs |= {i: 1 if place % 2 else -1 for i, place in zip(ids, order, strict=True)}
    return signs


def extract(
    model: HookedModel,
    items: ItemSet,
    recipe: str = MEAN,
    controls: Sequence[str] = (),
    *,
    site: str = "resid_post",
    seed: int = 0,
    chat: bool | Chat = False,
    packed: bool = False,
    cached: Sequence[Residuals] = (),
    see: See | None = None,
    cache: ResidualCache | None = None,
) -> dict[str, SteeringVectors]:
    """EN and LOC vectors, whichever the items allow, from one pass over each distinct prompt.

    recipe: a name in `RECIPES`. controls: "shuffled" adds "EN shuffled" and "LOC shuffled", made by
    the same recipe with the two sides of half of the questions swapped (by seed), at the real
    vectors' norms; "us" adds "LOC US", with the United States named, of the items that have such a
    prompt. Returns the vectors by name. chat: prompts stand in the model's chat template, and its
    last token, where the answer begins, is read. packed: while hooks of your own are in place,
    prompts run one by one, unpadded; True pads them to batches all the same. With the mean
    difference no activation is kept; other recipes keep items x layers x d_model in float32, of
    which `cache` holds what its bound allows and maps the rest. cached: what `cache_residuals` kept
    of items.universal and items.cultural, in the prompt forms that the vectors need; no prompt is
    run then, so several recipes share one pass. see: a function of each batch's texts and
    activations ([layer, prompt, d_model]), for who wants more of the same pass. Raises MechclaError
    for an unknown recipe or control, and for cached residuals that are not of this model, site,
    template and items.

    >>> made = extract(model, items.dev, "lda", ["shuffled"])
    >>> sorted(made)
    ['EN', 'EN shuffled', 'LOC', 'LOC shuffled']
    >>> sorted(extract(model, items.universal.dev, "lda", cached=[h]))  # h: cache_residuals'
    ['EN']
    """
    for control in controls:
        if control not in CONTROLS:
            raise unknown("control", control, CONTROLS)
    signs = half_signs(items, seed) if "shuffled" in controls else {}

    def shuffled(prompts: list[Prompt]) -> list[Prompt]:
        return [
            replace(p, name=f"{p.name} shuffled", side=p.side * signs[p.item.id])
            for p in (prompts if signs else ())
        ]

    prompts: list[Prompt] = []
    if any(language != PIVOT for language in items.universal.languages):
        en = en_prompts(items, paired=recipe not in UNPAIRED)
        prompts += en + shuffled(en)
    if len(items.cultural):
        loc = loc_prompts(items)
        prompts += loc + shuffled(loc)
        us = items.cultural.where(lambda i: "us" in controls and i.prompt_us is not None)
        prompts += loc_prompts(us, cue="us") if len(us) else []
    made = _make(model, items, prompts, recipe, site, chat, packed, cached, see, cache)
    for name in ("EN", "LOC") if signs else ():
        if name in made:
            arm = f"{name} shuffled"
            made[arm] = like(made[arm], made[name], f"shuffled {name}")
    return made


def en_vectors(
    model: HookedModel,
    items: ItemSet,
    site: str = "resid_post",
    chat: bool | Chat = False,
    packed: bool = False,
    recipe: str = MEAN,
) -> SteeringVectors:
    """v_EN of every language but English and every layer, from parallel universal items; chat: in
    the model's chat template.

    packed: while hooks of your own are in place, prompts run one by one, unpadded; True pads them
    to batches all the same. recipe: a name in `RECIPES`.

    >>> en = mechcla.en_vectors(model, items.universal.dev); en["es"].shape
    torch.Size([18, 64])
    """
    prompts = en_prompts(items, paired=recipe not in UNPAIRED)
    return _make(model, items, prompts, recipe, site, chat, packed)["EN"]


def loc_vectors(
    model: HookedModel,
    items: ItemSet,
    site: str = "resid_post",
    cue: PromptForm = "explicit",
    chat: bool | Chat = False,
    packed: bool = False,
    recipe: str = MEAN,
) -> SteeringVectors:
    """v_LOC of every language and layer, from cultural items with both prompt forms.

    cue: "explicit", the item's own country named; "us", the United States named instead, in the
    same language: what a LOC vector is to be held against. chat: prompts stand in the model's chat
    template. packed, recipe: as in `en_vectors`.

    >>> loc = mechcla.loc_vectors(model, items.cultural.dev); loc.languages
    ('en', 'es', 'ko')
    """
    prompts = loc_prompts(items, cue)
    return _make(model, items, prompts, recipe, site, chat, packed)[LOC_NAMES[cue]]


Group = tuple[str, str]  # a vector's name and its language
Part = tuple[Tensor, Tensor, int]  # [layer, d_model], the reference norms [layer], how many


def _make(
    model: HookedModel,
    items: ItemSet,
    prompts: Sequence[Prompt],
    recipe: str,
    site: str,
    chat: bool | Chat,
    packed: bool,
    cached: Sequence[Residuals] = (),
    see: See | None = None,
    cache: ResidualCache | None = None,
) -> dict[str, SteeringVectors]:
    by_rows = RECIPES.get(recipe)
    parts: Mapping[Group, Part]
    if cached:
        parts = _by_rows(prompts, by_rows, _kept(model, items, site, chat, prompts, cached))
    elif recipe == MEAN:
        parts = _by_sums(model, prompts, site, chat, packed, see)
    else:
        parts = _by_rows(prompts, by_rows, _run(model, prompts, site, chat, packed, see, cache))
    record = {"items": items.digest, **_how(model, site, chat)}
    if recipe != MEAN:
        record["recipe"] = recipe
    result = {}
    for name in dict.fromkeys(group[0] for group in parts):
        mine = {group[1]: part for group, part in parts.items() if group[0] == name}
        result[name] = SteeringVectors(
            name,
            site,
            {language: vector for language, (vector, _, _) in mine.items()},
            {language: norms for language, (_, norms, _) in mine.items()},
            {language: count for language, (_, _, count) in mine.items()},
            record,
        )
    return result


def _how(model: HookedModel, site: str, chat: bool | Chat) -> dict[str, Any]:
    """What a record says about where activations were read."""
    return {
        "model": model.describe(),
        "site": site,
        "position": "last_prompt_token",
        **chat_settings(chat, model.tokenizer),
    }


def _by_sums(
    model: HookedModel,
    prompts: Sequence[Prompt],
    site: str,
    chat: bool | Chat,
    packed: bool,
    see: See | None,
) -> dict[Group, Part]:
    """The mean difference from running sums; every distinct prompt runs once."""
    merged: dict[str, Request] = {}
    alike: dict[tuple[Group, int], tuple[Group, int]] = {}  # held once for all prompts
    for p in prompts:
        request = merged.setdefault(p.text, Request(p.text, []))
        entry = ((p.name, p.language), p.side)
        request.groups.append(alike.setdefault(entry, entry))
    sums = streaming_means(model, list(merged.values()), site, chat, packed, see)
    return {
        group: (
            (s.plus / s.n_plus - s.minus / s.n_minus).float(),
            (s.minus_norm / s.n_minus).float(),
            s.n_minus,
        )
        for group, s in sums.items()
    }


Row = Callable[[Prompt], Tensor]  # a prompt's activations, [layer, d_model]


def _run(
    model: HookedModel,
    prompts: Sequence[Prompt],
    site: str,
    chat: bool | Chat,
    packed: bool,
    see: See | None,
    cache: ResidualCache | None,
) -> Row:
    """Activations kept item by item; every distinct prompt runs once."""
    texts = list(dict.fromkeys(p.text for p in prompts))
    rows: dict[str, tuple[Tensor, int]] = {}  # a batch, and the prompt's place in it
    cache = cache or ResidualCache()
    for indices, residuals in last_token_residuals(model, texts, site, chat=chat, packed=packed):
        if see is not None:
            see([texts[i] for i in indices], residuals)
        batch = cache.hold(residuals.float().cpu().transpose(0, 1).contiguous())
        rows |= {texts[i]: (batch, k) for k, i in enumerate(indices)}
    return lambda prompt: rows[prompt.text][0][rows[prompt.text][1]]


def _kept(
    model: HookedModel,
    items: ItemSet,
    site: str,
    chat: bool | Chat,
    prompts: Sequence[Prompt],
    cached: Sequence[Residuals],
) -> Row:
    """The rows of cached residuals. Raises MechclaError for other ones than these vectors need."""
    kinds = {items.universal.digest: "universal", items.cultural.digest: "cultural"}
    wanted = _how(model, site, chat)
    rows: dict[tuple[str, PromptForm, str, str], Tensor] = {}
    for given in cached:
        found = given.record | {"site": given.site}
        kind = kinds.get(found.pop("items", ""))
        if kind is None:
            raise MechclaError(
                f"the cached {given.prompt} residuals of {', '.join(given.languages)} are of other "
                "items; expected cache_residuals of items.universal and of items.cultural"
            )
        for key in {**wanted, **found}:
            if found.get(key) != wanted.get(key):
                raise MechclaError(
                    f"the cached {given.prompt} residuals of {kind} items have {key} "
                    f"{found.get(key)!r}; expected {wanted.get(key)!r}"
                )
        for language, ids in given.ids.items():
            keys = [(kind, given.prompt, language, i) for i in ids]
            rows |= dict(zip(keys, given[language], strict=True))
    asked = {(p.item.kind, p.form, p.item.language, p.item.id): p for p in prompts}
    for kind, form, language, _ in asked.keys() - rows.keys():
        raise MechclaError(
            f"the cached residuals have none of {kind} items in {language!r} asked {form}; "
            f"expected cache_residuals(model, items.{kind}, {form!r}) too"
        )
    return lambda p: rows[p.item.kind, p.form, p.item.language, p.item.id]


def _by_rows(prompts: Sequence[Prompt], make: Recipe, row: Row) -> dict[Group, Part]:
    """A recipe on the prompts' activations, those of one vector and language at a time."""
    sides: dict[Group, dict[int, list[Prompt]]] = {}
    for p in prompts:
        group = sides.setdefault((p.name, p.language), {+1: [], -1: []})
        group[p.side].append(p)
    found: dict[Group, Part] = {}
    for key, side in sides.items():
        plus, minus = (torch.stack([row(p) for p in side[sign]]) for sign in (+1, -1))
        vector = make(plus, minus)
        if vector.shape != plus.shape[1:]:
            raise MechclaError(
                f"the recipe made a tensor {tuple(vector.shape)} of {key[1]!r}; expected [layer, "
                f"d_model], {tuple(plus.shape[1:])}"
            )
        found[key] = vector, minus.double().norm(dim=-1).mean(0).float(), len(minus)
    return found
