"""Items tokenised, packed and batched once for one model, ready for many interventions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechcla.engine import capability
from mechcla.engine.batch_size import AUTO, batch_tokens
from mechcla.engine.beginnings import shared_lengths
from mechcla.engine.intervention import BEHIND, Intervention
from mechcla.engine.memory import retry_smaller
from mechcla.engine.offload import ResidualCache
from mechcla.engine.packing import Batch, Packed, collate, pack, plan
from mechcla.engine.reference import Rows, plain_log_probs
from mechcla.engine.state import Known, State, finish, start
from mechcla.engine.variants import Edits
from mechcla.errors import MechclaError
from mechcla.items.item import PromptForm
from mechcla.items.item_set import ItemSet
from mechcla.models.chat import Chat, chat_settings
from mechcla.models.hooking import users_hooks
from mechcla.models.tokens import Pool, start_token
from mechcla.progress import track
from mechcla.scoring.scores import HEADLINE, ItemScore, Scores

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


PRIOR_TOKENS = 128  # of candidates in one sequence when they are scored without a prompt
# A candidate's tokens, and their log-likelihood at the beginning of a text.
Priors = dict[tuple[int, ...], float]
KnownPriors = dict[tuple[tuple[int, ...], ...], Priors]  # by all the candidates measured together


@dataclass(frozen=True, eq=False)
class Prepared:
    """Items tokenised, packed and batched for one model, ready to be scored under many
    interventions.

    On the fast path `states` holds a State a batch, all at the entrance of one block; on the plain
    path it is empty, `why` says why and `rows` how rows run there. max_tokens
    bounds a batch, also where several strengths run as one. hooks: where hooks of the user's own
    were when the items were prepared. beginnings: how many tokens of each item's prompt are run
    once for all prompts that begin so; empty where none are. shorter: prepares the same items for
    edits of tokens that lie in these beginnings; None where none can.
    """

    model: HookedModel
    items: ItemSet
    prompt: PromptForm
    batches: tuple[Batch, ...]
    order: tuple[tuple[int, ...], ...]
    states: tuple[State, ...]
    max_tokens: int
    cache: ResidualCache
    priors: tuple[tuple[float, ...], ...] = ()
    chat: bool | Chat = False
    why: str = ""
    rows: Rows = "padded"
    hooks: tuple[str, ...] = ()
    beginnings: tuple[int, ...] = ()
    shorter: Callable[[], Prepared] | None = None

    @cached_property
    def _shorter(self) -> Prepared | None:
        return self.shorter and self.shorter()

    @property
    def largest(self) -> int:
        """Tokens, padding too, of the largest batch that there is."""
        made = [self, *filter(None, [vars(self).get("_shorter")])]
        return max(int(batch.layout.ids.numel()) for one in made for batch in one.batches)

    def suited(self, edits: Edits) -> Prepared:
        """These items as they run under these edits: behind their beginnings, or, where an edit
        may act on tokens within them, behind shorter ones, prepared at the first use.
        """
        return (behind(edits) and self) or self._shorter or self

    def edge_log_probs(self, edits: Edits = ()) -> list[Float[Tensor, " _"]]:
        """What is left to run, and the unembedding, a tensor per batch of `suited(edits)`."""
        if (mine := self.suited(edits)) is not self:
            return mine.edge_log_probs(edits)
        if not self.states:
            return [plain_log_probs(self.model, b, edits, self.rows) for b in self.batches]
        return [finish(state, edits) for state in self.states]

    def table(self, edges: Sequence[Float[Tensor, " _"]], edits: Edits) -> Scores:
        """The item-level table of these log-probabilities, in the items' order."""
        if (mine := self.suited(edits)) is not self:
            return mine.table(edges, edits)
        rows: dict[int, ItemScore] = {}
        for batch, indices, log_probs in zip(self.batches, self.order, edges, strict=True):
            sums = iter(batch.sums(log_probs))
            lengths = iter([len(tokens) for p in batch.packed for tokens in p.candidates])
            for i in indices:
                item = self.items[i]
                rows[i] = ItemScore(
                    item.id,
                    item.language,
                    item.kind,
                    item.split,
                    item.topic,
                    item.country,
                    self.prompt,
                    tuple(c.text for c in item.candidates),
                    tuple(c.role for c in item.candidates),
                    tuple(c.country for c in item.candidates),
                    tuple(next(sums) for _ in item.candidates),
                    tuple(next(lengths) for _ in item.candidates),
                    self.priors[i] if self.priors else (),
                )
        settings = {
            "prompt": self.prompt,
            **chat_settings(self.chat, self.model.tokenizer),
            "headline": HEADLINE,
            "interventions": [e.describe() for e in edits],
            **self.how(),
        }
        return Scores(tuple(rows[i] for i in sorted(rows)), settings)

    def how(self) -> dict[str, Any]:
        """What ran: the path and why, beginnings that were run once, tokens of a batch, the
        attention backend, dtype, device and number of CPU threads.
        """
        why = {"path_reason": self.why} if self.why else {}
        return {
            "path": "plain" if self.why else "packed",
            **why,
            **described(self.beginnings),
            "max_tokens": self.max_tokens,
            "attention": self.model.attention,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "threads": torch.get_num_threads(),
        }


def behind(edits: Sequence[Intervention]) -> bool:
    """Whether no edit acts on a token before the prompt's last one."""
    return all(edit.positions in BEHIND for edit in edits)


def described(beginnings: Sequence[int]) -> dict[str, Any]:
    """What a record says about beginnings: how many prompts share one of how many tokens."""
    counted = Counter(n for n in beginnings if n)
    return {"beginnings": {str(n): counted[n] for n in sorted(counted)}} if counted else {}


def way(
    model: HookedModel, items: ItemSet, prompt: PromptForm = "implicit", chat: bool | Chat = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How these items would be run: the path, and the beginnings that are run once.

    For edits behind the prompts (and none), and for all others. The ways agree up to rounding,
    which in bfloat16 shows, so they are part of a result's identity.
    """
    texts = _packed(model, items, prompt, chat)
    if _plain_because(model, texts):
        return {"path": "plain"}, {"path": "plain"}
    found = [{"path": "packed", **described(_beginnings(model, texts, w))} for w in (True, False)]
    return found[0], found[1]


def _packed(
    model: HookedModel, items: ItemSet, prompt: PromptForm, chat: bool | Chat
) -> list[Packed]:
    how, pool = (model.window, chat, model.vocab_size), Pool()
    return [pack(item, model.tokenizer, prompt, *how, pool) for item in items]


def beginnings_of(
    model: HookedModel, texts: Sequence[Packed]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How many tokens of each prompt are run once: for edits behind the prompts (and none), and for
    all others; () where none are.
    """
    long = _beginnings(model, texts, True)
    return long, _beginnings(model, texts, False) if long else ()


def planned(
    texts: Sequence[Packed], sizes: Sequence[int], shared: Sequence[int], most: int
) -> list[tuple[int, tuple[int, ...]]]:
    """The batches of packed prompts: the length of the beginning that each shares, and the places
    of its prompts. sizes: tokens of each with its beginning. most: tokens of a batch.
    """
    return [
        (begin, tuple(members[k] for k in part))
        for begin, members in _sharing(texts, shared)
        for part in plan([sizes[i] - begin for i in members], most)
    ]


def _beginnings(model: HookedModel, texts: Sequence[Packed], written: bool) -> tuple[int, ...]:
    """`shared_lengths` of packed prompts, or nothing where the model or its hooks forbid it."""
    lengths = tuple(shared_lengths(texts, written))
    if not any(lengths) or users_hooks(model) or not capability.shares(model):
        return ()
    return lengths


def _plain_because(model: HookedModel, texts: Sequence[Packed], packed: bool = False) -> str:
    if capability.alone(model, packed) and users_hooks(model):
        return "hooks of the user's own are in place"
    longest = max(max(p.n_tokens, len(p.prompt) + max(map(len, p.candidates))) for p in texts)
    if model.sliding_window is not None and longest > model.sliding_window:
        return (
            f"texts of {longest} tokens reach beyond the attention window of {model.sliding_window}"
        )
    return capability.plain_because(model)


def prepare(
    model: HookedModel,
    items: ItemSet,
    prompt: PromptForm = "implicit",
    *,
    max_tokens: int | str = AUTO,
    fast: bool | None = None,
    cache: ResidualCache | None = None,
    chat: bool | Chat = False,
    prior: bool = True,
    known: KnownPriors | None = None,
    packed: bool = False,
    share: bool = True,
) -> Prepared:
    """Tokenise, pack and batch items, and run the blocks' unsteered recording pass once.

    While hooks of your own are in place, prompts run one by one, unpadded, on the plain path, one
    row per candidate, so that a hook which reads `x[:, -1]` or averages over positions sees each
    text alone; said once per model. packed=True runs them packed and padded all the same. Hooks
    must then stay as they are until the items are scored.

    max_tokens: rows x padded length of a batch, or "auto" (`batch_tokens`); halved, with a warning,
    as often as memory runs out. cache: bounds the memory of cached residuals. fast: None lets
    `capability.fits` decide, and sends texts that reach beyond a sliding attention window, or a
    chunk, to the plain path. prior: measure the candidates' log-likelihoods without a prompt too,
    once, so that scores can be corrected for them. known: priors of sets of candidates, read where
    it has this one's and added to where not, so that what several prompt forms of the same items
    offer is measured once; the same items have the same priors to the last bit whatever was
    measured before. share: run a long beginning that prompts share (`shared_lengths`) once. Raises
    MechclaError for an empty set, a prompt beyond the window, or a candidate without tokens.
    """
    if not len(items):
        raise MechclaError("there are no items to score; is the language, kind or split right?")
    texts = _packed(model, items, prompt, chat)
    why = "" if fast else "asked for"
    if fast is None:
        why = _plain_because(model, texts, packed)
        fast = not why
    most = batch_tokens(model, max_tokens)
    rows: Rows = "padded" if fast else capability.plain_rows(model, packed)
    hooks = users_hooks(model)
    sizes = [
        p.n_tokens if fast else len(p.prompt) * len(p.candidates) + sum(map(len, p.candidates))
        for p in texts
    ]
    cache = cache or ResidualCache()
    beginnings, short = beginnings_of(model, texts) if share and fast else ((), ())

    def build(most: int, shared: tuple[int, ...] = beginnings) -> Prepared:
        parts = planned(texts, sizes, shared, most)
        groups = [group for _, group in parts]
        batches = [collate([texts[i] for i in g], model.pad_id, fast, begin) for begin, g in parts]
        run_once: Known = {}
        states = tuple(cache.keep(start(model, b, run_once)) for b in batches) if fast else ()
        return Prepared(
            model,
            items,
            prompt,
            tuple(batches),
            tuple(groups),
            states,
            most,
            cache,
            priors,
            chat,
            why,
            rows,
            hooks,
            shared,
            (lambda: retry_smaller(model, partial(build, shared=short), most, floor=max(sizes)))
            if shared != short
            else None,
        )

    known = {} if known is None else known
    first = start_token(model.tokenizer, model.vocab_size) if prior else None
    priors: tuple[tuple[float, ...], ...] = ()
    if first is not None:
        # Measured with these items' own candidates alone: neighbours decide the last bits.
        offered = offered_by(texts)
        if offered not in known:
            known[offered] = _priors(model, offered, first, most, fast, rows)
        priors = tuple(tuple(known[offered][c] for c in p.candidates) for p in texts)
    return retry_smaller(model, build, most, floor=max(sizes))


def _sharing(texts: Sequence[Packed], lengths: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Indices of the prompts that share a beginning, by its length; those without one first."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, text in enumerate(texts):
        groups.setdefault(text.prompt[: lengths[i]] if lengths else (), []).append(i)
    return [(len(tokens), groups[tokens]) for tokens in sorted(groups, key=len)]


def offered_by(texts: Sequence[Packed]) -> tuple[tuple[int, ...], ...]:
    """The distinct candidates of packed items, neighbours beginning alike."""
    return tuple(sorted({c for p in texts for c in p.candidates}))


def behind_nothing(
    model: HookedModel, candidates: Sequence[tuple[int, ...]], first: int, max_tokens: int
) -> list[Packed]:
    """Candidates behind the token that begins a text, several in a sequence: neighbours share what
    they begin with.
    """
    room = (
        min(
            size
            for size in (PRIOR_TOKENS, max_tokens, model.sliding_window, model.window)
            if size is not None
        )
        - 1
    )
    groups: list[tuple[tuple[int, ...], ...]] = []
    for candidate in candidates:
        if groups and sum(map(len, groups[-1])) + len(candidate) <= room:
            groups[-1] += (candidate,)
        else:
            groups.append((candidate,))
    return [Packed(None, (first,), group, 1) for group in groups]


def _priors(
    model: HookedModel,
    candidates: Sequence[tuple[int, ...]],
    first: int,
    max_tokens: int,
    fast: bool,
    rows: Rows,
) -> Priors:
    """Log-likelihoods of candidates behind nothing but the token that begins a text."""
    alone = behind_nothing(model, candidates, first, max_tokens)
    sizes = [p.n_tokens if fast else sum(map(len, p.candidates)) + len(p.candidates) for p in alone]

    def run(most: int) -> Priors:
        found: Priors = {}
        for part in track(plan(sizes, most), "priors", unit="batch"):
            batch = collate([alone[i] for i in part], model.pad_id, share_prompt=fast)
            sums = batch.sums(
                finish(start(model, batch)) if fast else plain_log_probs(model, batch, rows=rows)
            )
            found |= dict(zip((c for i in part for c in alone[i].candidates), sums, strict=True))
        return found

    return retry_smaller(model, run, max_tokens, floor=max(sizes))
