"""EN and LOC difference-of-means vectors: make, save, load.

    v_EN[L, l]  = mean over parallel universal items of h_l(English prompt) - h_l(prompt in L)
    v_LOC[L, l] = mean over cultural items of h_l(explicit prompt in L) - h_l(implicit prompt in L)

h_l is the activation at one site of block l (default resid_post) at the last prompt token. The
means are streaming float64 sums. Source: the mean-difference contrasts of Lim et al. (2505.13141)
and Veselovsky et al. (2504.10191); that these are the source paper's own recipes is our inference.
A direction found this way separates two sets of prompts; whether it causes anything is what
steering tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PromptForm
from mechcla.items.item_set import ItemSet, pair_ids
from mechcla.models.chat import Chat, chat_settings
from mechcla.vectors.activations import Request, streaming_means

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel
from mechcla.vectors.steering_vectors import SteeringVectors

LOC_NAMES = {
    "explicit": "LOC",
    "us": "LOC US",
}  # by the cue that is named: the item's own country, the United States
Signs = Mapping[str, int]  # by id: -1 swaps the two sides of its pair


def en_requests(
    items: ItemSet, pivot: str = "en", signs: Signs | None = None, name: str = "EN"
) -> list[Request]:
    """Which prompts count for v_EN, with which sign, by language."""
    universal = items.universal
    if pivot not in universal.languages:
        raise MechclaError(
            f"EN vectors need universal items in {pivot!r}; {nearest(pivot, universal.languages)}"
        )
    others = [language for language in universal.languages if language != pivot]
    if not others:
        raise MechclaError(
            f"EN vectors need universal items in a language beside {pivot!r}; these are {pivot!r} "
            "only"
        )
    requests: list[Request] = []
    for language in others:
        pairs = pair_ids(universal.language(pivot), universal.language(language))
        if not pairs:
            raise MechclaError(
                f"no universal item of {language!r} shares its id with one of {pivot!r}"
            )
        for left, right in pairs:
            requests += _pair(
                left.prompt, right.prompt, (name, language), (signs or {}).get(left.id, 1)
            )
    return requests


def loc_requests(
    items: ItemSet,
    signs: Signs | None = None,
    cue: PromptForm = "explicit",
    name: str | None = None,
) -> list[Request]:
    """Which prompts count for v_LOC, with which sign, by language; with the cue "us", for the
    vector of the United States.
    """
    cultural = items.cultural
    if not len(cultural):
        raise MechclaError("LOC vectors need cultural items; these are universal only")
    if cue not in LOC_NAMES:
        raise MechclaError(f"unknown cue {cue!r}; {nearest(cue, LOC_NAMES)}")
    requests: list[Request] = []
    for item in cultural:
        requests += _pair(
            item.prompt_text(cue),
            item.prompt,
            (name or LOC_NAMES[cue], item.language),
            (signs or {}).get(item.id, 1),
        )
    return requests


def _pair(plus: str, minus: str, group: tuple[str, str], sign: int) -> list[Request]:
    return [Request(plus, [(group, sign)]), Request(minus, [(group, -sign)])]


def make_vectors(
    model: HookedModel,
    items: ItemSet,
    site: str = "resid_post",
    signs: Signs | None = None,
    chat: bool | Chat = False,
    us: bool = True,
    packed: bool = False,
) -> dict[str, SteeringVectors]:
    """EN and LOC vectors, whichever the items allow, from one pass over each distinct prompt.

    Returns {"EN": ..., "LOC": ...}, and, unless us=False, "LOC US", the control with the United
    States named, of the items that have such a prompt. signs: +1 or -1 by id; then also "EN
    shuffled" and "LOC shuffled", in which the sides of the pairs with -1 are swapped, from the same
    pass. chat: prompts stand in the model's chat template, and its last token, where the answer
    begins, is read. packed: while hooks of your own are in place, prompts run one by one, unpadded;
    True pads them to batches all the same. Memory does not grow with the number of items.
    """
    requests: list[Request] = []
    if len(items.universal):
        requests += en_requests(items)
        requests += en_requests(items, signs=signs, name="EN shuffled") if signs else []
    if len(items.cultural):
        requests += loc_requests(items)
        requests += loc_requests(items, signs, name="LOC shuffled") if signs else []
        american = items.cultural.where(lambda i: us and i.prompt_us is not None)
        requests += loc_requests(american, cue="us") if len(american) else []
    return _make(model, items, requests, site, chat, packed)


def en_vectors(
    model: HookedModel,
    items: ItemSet,
    site: str = "resid_post",
    chat: bool | Chat = False,
    packed: bool = False,
) -> SteeringVectors:
    """v_EN of every language but English and every layer, from parallel universal items; chat: in
    the model's chat template.

    packed: while hooks of your own are in place, prompts run one by one, unpadded; True pads them
    to batches all the same.

    >>> en = mechcla.en_vectors(model, items.universal.dev); en["es"].shape
    torch.Size([18, 64])
    """
    return _make(model, items, en_requests(items), site, chat, packed)["EN"]


def loc_vectors(
    model: HookedModel,
    items: ItemSet,
    site: str = "resid_post",
    cue: PromptForm = "explicit",
    chat: bool | Chat = False,
    packed: bool = False,
) -> SteeringVectors:
    """v_LOC of every language and layer, from cultural items with both prompt forms.

    cue: "explicit", the item's own country named; "us", the United States named instead, in the
    same language: what a LOC vector is to be held against. chat: prompts stand in the model's chat
    template. packed: as in `en_vectors`.

    >>> loc = mechcla.loc_vectors(model, items.cultural.dev); loc.languages
    ('en', 'es', 'ko')
    """
    return _make(model, items, loc_requests(items, cue=cue), site, chat, packed)[LOC_NAMES[cue]]


def _make(
    model: HookedModel,
    items: ItemSet,
    requests: list[Request],
    site: str,
    chat: bool | Chat,
    packed: bool,
) -> dict[str, SteeringVectors]:
    merged: dict[str, Request] = {}
    for request in requests:  # every distinct prompt runs once
        merged.setdefault(request.text, Request(request.text, [])).groups.extend(request.groups)
    sums = streaming_means(model, list(merged.values()), site, chat, packed)
    record = {
        "model": model.describe(),
        "items": items.digest,
        "site": site,
        "position": "last_prompt_token",
        **chat_settings(chat, model.tokenizer),
    }
    result = {}
    for name in dict.fromkeys(group[0] for group in sums):
        part = {group[1]: value for group, value in sums.items() if group[0] == name}
        result[name] = SteeringVectors(
            name,
            site,
            {lang: (s.plus / s.n_plus - s.minus / s.n_minus).float() for lang, s in part.items()},
            {lang: (s.minus_norm / s.n_minus).float() for lang, s in part.items()},
            {lang: s.n_minus for lang, s in part.items()},
            record,
        )
    return result
