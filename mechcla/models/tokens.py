"""A text as the tokenizer's own tokens, with what the user wrote told from what was added around
it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mechcla.errors import MechclaError


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of a text. `added`: the places of what the tokenizer or a chat template put there.

    A token is the user's if the user wrote any part of it, whatever role or flag the tokenizer
    gives it: an <unk> in front of a text in an unknown script, or a <bos> that is written out, is
    the user's.
    """

    ids: tuple[int, ...]
    added: frozenset[int]


Pool = dict[Any, Any]  # what texts have alike, by itself


def pooled(tokens: Tokens, pool: Pool) -> Tokens:
    """The same tokens, each number held once for all texts that go through one pool: a tokenizer
    makes numbers of its own for every text.
    """
    ids = tuple(pool.setdefault(i, i) for i in tokens.ids)
    return Tokens(ids, pool.setdefault(tokens.added, tokens.added))


def encode(text: str, tokenizer: Any) -> Tokens:
    """The tokens of a text, with what the tokenizer puts in front of it, and nothing behind.

    What a tokenizer appends (EOS, [SEP]) is taken off, since the text goes on with an answer.
    Source: ours.

    >>> encode("Perú", model.tokenizer)
    Tokens(ids=(1, 50, 273, 130, 121), added=frozenset({0}))
    """
    if getattr(tokenizer, "is_fast", False):
        out = tokenizer(text, add_special_tokens=True, return_special_tokens_mask=True)
        ids = list(out["input_ids"])
        added = {place for place, one in enumerate(out["special_tokens_mask"]) if one}
    else:
        ids = list(tokenizer(text, add_special_tokens=True)["input_ids"])
        bare = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        added = _around(ids, bare)
    while len(ids) > 1 and len(ids) - 1 in added:
        ids.pop()
    return Tokens(tuple(ids), frozenset(place for place in added if place < len(ids)))


def encode_spans(text: str, spans: Sequence[tuple[int, int]], tokenizer: Any) -> Tokens:
    """The tokens of a text that holds its own special tokens, as a rendered chat template does.

    spans: the characters (begin, end) that the user wrote; a token that touches none of them is
    added.
    """
    if getattr(tokenizer, "is_fast", False):
        out = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = tuple(out["input_ids"])
        # A token of spaces alone has an empty span at its end where the tokenizer trims offsets.
        places = ((begin - (begin == end), end) for begin, end in out["offset_mapping"])
        users = {
            place
            for place, (begin, end) in enumerate(places)
            if any(begin < stop and start < end for start, stop in spans)
        }
    else:
        ids = tuple(bare(text, tokenizer))
        users = _between(text, ids, spans, tokenizer)
    return Tokens(ids, frozenset(range(len(ids))) - users)


def bare(text: str, tokenizer: Any) -> list[int]:
    """Token ids of a text with nothing added: what `apply_chat_template` makes of what it has
    rendered.
    """
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many of the first tokens two texts share."""
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


def _around(ids: Sequence[int], inner: Sequence[int]) -> set[int]:
    """The places of `ids` on either side of `inner`; none where `inner` does not lie in it as it
    is.
    """
    for before in range(len(ids) - len(inner), -1, -1):
        if list(ids[before : before + len(inner)]) == list(inner):
            return set(range(before)) | set(range(before + len(inner), len(ids)))
    return set()


def _between(
    text: str, ids: Sequence[int], spans: Sequence[tuple[int, int]], tokenizer: Any
) -> set[int]:
    """The user's places for a tokenizer that knows no offsets: those that change when the user's
    text does.

    Two other texts, which begin and end differently, so that neither end is shared with the user's
    by chance.
    """
    start, stop = spans[0][0], spans[-1][1]
    others = [bare(text[:start] + other + text[stop:], tokenizer) for other in ("xq1", "9kz")]
    before = min(common(ids, other) for other in others)
    behind = min(common(ids[::-1], other[::-1]) for other in others)
    return set(range(before, len(ids) - behind))


def start_token(tokenizer: Any, vocab_size: int | None = None) -> int | None:
    """What stands before a text's first token: what the tokenizer puts there, else its BOS, else
    its EOS.

    None where there is none of them, or none that the model's `vocab_size` embeddings hold.
    """
    found = encode("a", tokenizer)
    front = [found.ids[place] for place in sorted(found.added)][-1:]
    named = [getattr(tokenizer, f"{role}_token_id", None) for role in ("bos", "eos")]
    known = (
        i for i in (*front, *named) if i is not None and (vocab_size is None or i < vocab_size)
    )
    return next(known, None)


def check_known(ids: Iterable[int], tokenizer: Any, vocab_size: int | None, label: str) -> None:
    """Raises MechclaError for a token that the model has no embedding for; None checks nothing."""
    for i in ids:
        if vocab_size is not None and not 0 <= i < vocab_size:
            token = tokenizer.convert_ids_to_tokens(i)
            raise MechclaError(
                f"{label}: the tokenizer makes token {token!r} with id {i}, and the model has "
                "embeddings "
                f"for ids 0 to {vocab_size - 1}; this tokenizer does not go with these weights "
                "(after tokens "
                "are added, a model needs resize_token_embeddings)"
            )


PROBES = ("a", "The capital of Peru is", " two words", "¿Qué té?", "日本")


def bridge_tokenizer(bridge: Any) -> tuple[Any, str | None]:
    """The tokenizer that gives what `bridge.to_tokens` shows, and a note where that is not what it
    seems.

    `to_tokens` puts BOS in front, or takes it away, by the bridge's config and whatever its
    tokenizer does.
    """
    held = bridge.tokenizer
    shown = [bridge.to_tokens(text)[0].tolist() for text in PROBES]

    def same(tokenizer: Any) -> bool:
        """Whether it makes these tokens, with or without what it puts behind a text."""
        return all(
            ids in (list(encode(text, tokenizer).ids), list(tokenizer(text)["input_ids"]))
            for text, ids in zip(PROBES, shown, strict=True)
        )

    vocab_size = bridge.original_model.get_input_embeddings().weight.shape[0]
    if max(map(max, shown)) >= vocab_size:
        return held, (
            f"bridge.to_tokens puts {held.bos_token!r} in front, which the model has no embedding "
            "for; "
            "mechcla takes the tokens of bridge.tokenizer, without it"
        )
    if not same(held):
        for add in (True, False):
            other = copy.deepcopy(held)
            other.add_bos_token = add
            if same(other):
                does = "puts" if add else "leaves out"
                return other, (
                    f"bridge.to_tokens {does} {held.bos_token!r} in front where bridge.tokenizer "
                    "does otherwise; "
                    "mechcla takes the tokens of bridge.to_tokens (bridge.cfg.default_prepend_bos "
                    "decides)"
                )
        return held, (
            f"bridge.to_tokens gives other tokens than bridge.tokenizer: {shown[1]} and "
            f"{held(PROBES[1])['input_ids']} for {PROBES[1]!r}; mechcla takes those of "
            "bridge.tokenizer"
        )
    own = folder_tokenizer(held)
    if own is not None and not same(own):
        return held, (
            f"the bridge's tokens are not those of its tokenizer's own folder "
            f"({held.name_or_path}): {shown[0]} "
            f"and {own(PROBES[0])['input_ids']} for {PROBES[0]!r}; mechcla takes the bridge's, "
            "mechcla.load_model the folder's"
        )
    return held, None


def folder_tokenizer(tokenizer: Any) -> Any:
    """The tokenizer as its folder has it, where it lies on this machine and may have been
    exchanged.
    """
    where = getattr(tokenizer, "name_or_path", None)
    if not where or not getattr(tokenizer, "init_kwargs", {}).get("add_bos_token"):
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(where, local_files_only=True)
    except (OSError, ValueError, KeyError):  # made in memory, or not here: there is no telling
        return None
