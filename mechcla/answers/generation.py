"""Short answers in free text, decoded greedily under the same interventions that scoring takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mechcla.answers.answers import Answer, Answers
from mechcla.engine.capability import alone
from mechcla.engine.decoding import cache_fits, cached_logits, full_logits
from mechcla.engine.intervention import Intervention, active
from mechcla.engine.memory import retry_smaller
from mechcla.engine.packing import count_special, encode
from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PromptForm
from mechcla.models.chat import chat_prompt

if TYPE_CHECKING:
    from mechcla.models.hooked_model import HookedModel


MAX_TOKENS = 2048
SLOT = "{q}"


@runtime_checkable
class Question(Protocol):
    """What can be asked: an OpenItem, an Item, or anything else with these."""

    id: str
    language: str
    country: str | None
    split: str
    topic: str

    def prompt_text(self, form: PromptForm = "implicit") -> str: ...


def generate(
    model: HookedModel,
    questions: Sequence[Question],
    interventions: Intervention | Sequence[Intervention] = (),
    prompt: PromptForm = "implicit",
    max_new_tokens: int = 16,
    stop: str | None = "\n",
    chat: bool = False,
    max_tokens: int = MAX_TOKENS,
    template: str | Mapping[str, str] = SLOT,
    cache: bool | None = None,
    packed: bool = False,
) -> Answers:
    """Greedy answers to questions (OpenItem, Item) under interventions; () is the unsteered model.

    Positions mean what they mean in scoring, with the generated tokens as the answer: "prompt_and_answer",
    "answer" and "last_and_answer" edit every generated token that is fed back; the first token is predicted at the
    prompt's last token, so "answer" alone cannot change it. Special tokens in front (BOS, and those that open a chat
    turn) are never edited. Unsteered and at strength 0 it equals transformers' `generate(do_sample=False)`.

    prompt: "implicit" or "explicit". max_new_tokens: the most tokens an answer has. stop: a text that ends the
    answer, looked for after leading white space; None: only EOS and the length end it. template: text around each
    question, with {q} in its place, one or one a language, e.g. {"en": "Question: {q}\\nAnswer:"}. chat: put it
    into the tokenizer's chat template. max_tokens: rows x (prompt + new tokens) of a batch, halved, with a warning, as
    often as memory runs out. cache: None lets `decoding.cache_fits` decide; False runs full passes.
    packed: while hooks of your own are in place, prompts run one by one by full passes, so that a
    hook sees the whole text and nothing else; True runs them in batches, from a cache, all the
    same. Greedy decoding shows a model's single most likely path, not what else it might say, and
    in 16-bit types a near tie may fall either way with the batch's size.

    Source: ours. Raises MechclaError for no questions, a prompt beyond the model's window, an unknown form, a template without
    {q}, a question without an implicit form, or chat=True without a chat template.

    >>> answers = mechcla.generate(model, questions, interventions=sur)       # doctest: +SKIP
    >>> answers.to_pandas()[["id", "text"]]                                   # doctest: +SKIP
    """
    if prompt not in ("implicit", "explicit"):
        raise MechclaError(
            f"unknown prompt form {prompt!r}; {nearest(prompt, ('implicit', 'explicit'))}"
        )
    if not len(questions):
        raise MechclaError("there are no questions to answer; is the language or split right?")
    if max_new_tokens < 1 or max_tokens < 1:
        raise MechclaError(
            f"max_new_tokens={max_new_tokens}, max_tokens={max_tokens}; expected at least 1 each"
        )
    if stop is not None and not stop:
        raise MechclaError("stop is an empty text, which every answer has; use None for no stop")
    edits = active(interventions, model)
    prompts = [_encode(model, q, prompt, template, chat) for q in questions]
    longest = max(map(len, prompts)) + max_new_tokens
    if model.window is not None and longest > model.window:
        raise MechclaError(
            f"the longest prompt and max_new_tokens={max_new_tokens} are {longest} tokens, the model's window is {model.window}"
        )
    special = [count_special(ids, model.tokenizer) for ids in prompts]
    single = alone(model, packed)
    cached = (not single and cache_fits(model)) if cache is None else cache
    rows: dict[int, Answer] = {}
    for length in sorted(set(map(len, prompts))):  # one length at a time: no padding
        todo = [i for i, ids in enumerate(prompts) if len(ids) == length]
        size = length + max_new_tokens
        while todo:

            def run(
                most: int, todo: list[int] = todo, size: int = size
            ) -> list[tuple[list[int], str]]:
                part = todo[: 1 if single else max(1, most // size)]
                return _decode(
                    model,
                    [prompts[i] for i in part],
                    [special[i] for i in part],
                    edits,
                    max_new_tokens,
                    stop,
                    cached,
                )

            for tokens, ended in retry_smaller(model, run, max_tokens, floor=size):
                q = questions[i := todo[0]]
                text = answer_text(model, tokens, stop)
                rows[i] = Answer(
                    q.id,
                    q.language,
                    q.country,
                    q.split,
                    q.topic,
                    prompt,
                    text,
                    tuple(tokens),
                    ended,
                )
                todo = todo[1:]
    settings = {
        "model": model.name,
        "prompt": prompt,
        "interventions": [e.describe() for e in edits],
        "stop": stop,
        "chat": chat,
        "max_new_tokens": max_new_tokens,
        "template": template if isinstance(template, str) else dict(template),
    }
    return Answers(tuple(rows[i] for i in sorted(rows)), settings)


def _encode(
    model: HookedModel, q: Question, form: PromptForm, template: str | Mapping[str, str], chat: bool
) -> list[int]:
    """The token ids of one question as it is asked."""
    if not isinstance(template, str):
        if q.language not in template:
            raise MechclaError(
                f"no template for language {q.language!r}; {nearest(q.language, template)}"
            )
        template = template[q.language]
    if SLOT not in template:
        raise MechclaError(f"the template {template[:60]!r} has no {SLOT}, where the question goes")
    text = template.replace(SLOT, q.prompt_text(form))
    ids = encode(chat_prompt(text, model.tokenizer) if chat else text, model.tokenizer)
    if not ids:
        raise MechclaError(
            f"question {q.id!r} ({q.language}): the prompt {text[:60]!r} has no token"
        )
    return ids


def end_ids(model: HookedModel) -> frozenset[int]:
    """The ids that end an answer: those of the model's generation config, else the tokenizer's EOS."""
    eos = getattr(
        getattr(model.bridge.original_model, "generation_config", None), "eos_token_id", None
    )
    eos = model.tokenizer.eos_token_id if eos is None else eos
    return frozenset(() if eos is None else [eos] if isinstance(eos, int) else eos)


def _written(model: HookedModel, tokens: Sequence[int]) -> str:
    ended = bool(tokens) and tokens[-1] in end_ids(model)
    return str(
        model.tokenizer.decode(list(tokens[:-1] if ended else tokens), skip_special_tokens=True)
    ).lstrip()


def answer_text(model: HookedModel, tokens: Sequence[int], stop: str | None = "\n") -> str:
    """The tokens as text, without EOS, up to the first `stop` after leading white space, stripped."""
    text = _written(model, tokens)
    return (text.split(stop)[0] if stop else text).strip()


def _decode(
    model: HookedModel,
    prompts: list[list[int]],
    n_special: list[int],
    edits: Sequence[Intervention],
    max_new_tokens: int,
    stop: str | None,
    cached: bool,
) -> list[tuple[list[int], str]]:
    """Tokens, and what ended them, of prompts of one length.

    A row that has ended goes along until all have, so that the cache's rows stay together; what it adds is cut.
    """
    grown: list[list[int]] = [[] for _ in prompts]
    done: list[tuple[list[int], str] | None] = [None] * len(prompts)
    eos, past = end_ids(model), None
    for step in range(max_new_tokens):
        if cached:
            logits, past = cached_logits(model, prompts, n_special, grown, edits, past)
        else:
            logits = full_logits(model, prompts, n_special, grown, edits)
        for r, token in enumerate(logits.argmax(-1).tolist()):
            grown[r].append(token)
            if done[r] is not None:
                continue
            if token in eos:
                done[r] = (list(grown[r]), "eos")
            elif stop and stop in _written(model, grown[r]):
                done[r] = (list(grown[r]), "stop")
            elif step + 1 == max_new_tokens:
                done[r] = (list(grown[r]), "length")
        if all(d is not None for d in done):
            break
    return [d for d in done if d is not None]
