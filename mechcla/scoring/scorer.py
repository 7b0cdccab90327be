"""Scores items under interventions: tokenise, pack, run the engine, gather the table.

Many interventions on the same items are scored by `score_many`, which runs them as a tree over
layers: blocks below a steered one run once for all, and pairs of layers share the part that they
have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from mechcla.engine.batch_size import AUTO
from mechcla.engine.intervention import Intervention, active, check_chat
from mechcla.engine.languages import Interventions, by_language, described
from mechcla.engine.memory import halved, is_out_of_memory, limit, too_large
from mechcla.engine.variants import Branch, Edits, run_variants, steps
from mechcla.errors import MechclaError, unknown
from mechcla.items.item import FORMS, PromptForm
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import Chat
from mechcla.models.hooking import users_hooks
from mechcla.scoring.scores import Scores

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel
from mechcla.scoring.prepared import Prepared, prepare


def score(
    model: HookedModel,
    items: ItemSet,
    interventions: Interventions = (),
    prompt: PromptForm = "implicit",
    *,
    max_tokens: int | str = AUTO,
    chat: bool | Chat = False,
    prior: bool = True,
    packed: bool = False,
    any_language: bool = False,
) -> Scores:
    """Score every candidate of every item under interventions; () is the unsteered model.

    interventions: one, a list, or by language, {"es": ..., "ko": ...}; languages that are not named
    run unsteered. A vector of another language than its rows' is refused by name, unless
    any_language. prompt: "implicit"; for cultural items also "explicit", with their country named,
    or "us", with the United States named instead. chat: ask in the model's chat template, as an
    instruction-tuned model expects, with the candidate as the assistant's turn; True, or a
    `mechcla.Chat`. prior: also score the candidates without a prompt, for the normalisation
    "prior". packed: while hooks of your own are in place, prompts run one by one, unpadded, on the
    plain path, and True runs them packed and padded all the same; see `prepare`. max_tokens: tokens
    of a batch; "auto" is 2048, and on a GPU what a short measurement finds best. Returns a table
    with a row per item. An intervention of strength 0 gives the unsteered scores to the last bit.

    >>> spanish = items.language("es").test
    >>> scores = mechcla.score(model, spanish, interventions=sur)
    >>> choices = scores.to_pandas()[["id", "choice", "choice_role"]]
    >>> steered = {"es": sur, "ko": other}
    >>> both = items.language("es", "ko").test
    >>> scores = mechcla.score(model, both, interventions=steered)
    """
    if prompt not in FORMS:
        raise unknown("prompt form", prompt, FORMS)
    found = by_language(interventions, items.languages, model, chat, any_language)
    if isinstance(interventions, Mapping):
        each = {
            language: score(
                model,
                items.language(language),
                edits,
                prompt,
                max_tokens=max_tokens,
                chat=chat,
                prior=prior,
                packed=packed,
                any_language=any_language,
            )
            for language, edits in found.items()
        }
        return _together(items, each, {"interventions": described(interventions, found)})
    edits = next(iter(found.values()), ())
    return next(
        scores
        for _, scores in score_many(
            prepare(
                model,
                items,
                prompt,
                max_tokens=max_tokens,
                chat=chat,
                prior=prior,
                packed=packed,
            ),
            [edits],
        )
    )


def _together(items: ItemSet, each: Mapping[str, Scores], settings: dict[str, Any]) -> Scores:
    """One table of several languages' tables, in the items' order."""
    rows = {language: iter(table.rows) for language, table in each.items()}
    common = next((table.settings for table in each.values()), {})
    return Scores(tuple(next(rows[item.language]) for item in items), {**common, **settings})


def score_many(
    prepared: Prepared, variants: Sequence[Sequence[Intervention]]
) -> Iterator[tuple[int, Scores]]:
    """Score the same items under many variants; yields (index of the variant, scores) as each is
    done.

    Equal to scoring each alone up to rounding, in the order that shares most: shallow layers first.
    When memory runs out, what is not done yet goes on in batches of half the size, with a warning.
    """
    if prepared.hooks != (now := users_hooks(prepared.model)):
        raise MechclaError(
            f"the hooks of your own on {prepared.model.name} were {list(prepared.hooks)} when the "
            f"items were prepared and are {list(now)} now; prepare the items again"
        )
    for edits in variants:
        check_chat(edits, prepared.model, prepared.chat)
    todo = {i: active(v, prepared.model) for i, v in enumerate(variants)}
    # It was prepared before memory ran out.
    if prepared.max_tokens > limit(prepared.model, prepared.max_tokens):
        prepared = _again(prepared, prepared.max_tokens)
    while todo:
        try:
            for i, edges in _run(prepared, todo):
                yield i, prepared.table(edges, todo.pop(i))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            largest = prepared.largest
            if prepared.max_tokens < largest:  # a batch of one row: there is no half
                raise too_large(prepared.model, largest) from error
            smaller = halved(prepared.model, prepared.max_tokens, error)
        else:
            return
        prepared = _again(prepared, smaller)


def _again(old: Prepared, max_tokens: int) -> Prepared:
    again = prepare(
        old.model,
        old.items,
        old.prompt,
        max_tokens=max_tokens,
        fast=bool(old.states),
        cache=old.cache,
        chat=old.chat,
        prior=False,
        packed=old.rows != "alone",
        share=bool(old.beginnings),
    )
    return replace(again, priors=old.priors, why=old.why)


def _run(
    prepared: Prepared, todo: dict[int, Edits]
) -> Iterator[tuple[int, list[Float[Tensor, " _"]]]]:
    if not prepared.states:
        for i, edits in list(todo.items()):
            yield i, prepared.edge_log_probs(edits)
    else:
        groups: dict[int, tuple[Prepared, list[Branch]]] = {}
        for i, edits in todo.items():
            mine = prepared.suited(edits)
            groups.setdefault(id(mine), (mine, []))[1].append((i, steps(edits)))
        for mine, branches in groups.values():
            yield from run_variants(mine.states, branches, mine.max_tokens, mine.cache.keep)
