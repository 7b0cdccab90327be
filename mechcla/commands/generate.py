"""python -m mechcla generate TEXT ...: answers unsteered and under each steering, one below the
other.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg

from mechcla.answers.answers import Answer
from mechcla.answers.generation import generate
from mechcla.answers.output_language import most_likely
from mechcla.answers.prompts import SLOT
from mechcla.commands.chosen import Chosen, SteeringFlags, chosen, cue_of, model_of, with_vectors
from mechcla.commands.command import COMMANDS, Command, flags, parse
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.models.hooked_model import HookedModel
from mechcla.progress import quiet
from mechcla.storage import user_path, utf8, write_text
from mechcla.sweep.config import joined
from mechcla.sweep.setting_types import MOST_SEED

AT_ONCE = 16  # texts whose answers are made together, and printed


class GenerateConfig(SteeringFlags):
    """Answers to texts unsteered, under each steering (EN, LOC, SUR, GATED), and with the country
    named in front (explicit). A text may begin with its language, as "es: La moneda es"."""

    model_config = flags("generate")

    texts: CliPositionalArg[list[str]] = Field(
        [], description="what to go on with; none: --file, or standard input, a text per line"
    )
    file: str | None = Field(None, description="a file with one text per line")
    cue: str | None = Field(
        None, description="names the country in front of a text; default: the items' own"
    )
    max_new_tokens: int = Field(24, ge=1, le=100_000, description="the most tokens of an answer")
    stop: str | None = Field(
        "\n", description="text that ends an answer, default: a line break; null: none"
    )
    template: str = Field(SLOT, description="text around each text, with {q} in its place")
    sample: bool = Field(False, description="draw answers; default: the likeliest one")
    temperature: float | None = Field(None, description="of draws; default: the model's own")
    top_k: int | None = Field(None, description="draw among so many; default: the model's own")
    top_p: float | None = Field(None, description="draw within this share; default: the model's")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="seed of draws")
    answers: int = Field(
        1, ge=1, le=1_000, description="answers per text and condition, with --sample"
    )

    out: str | None = Field(None, description="also write the answers here, a JSON line each")

    @field_validator("stop")
    @classmethod
    def _breaks(cls, value: str | None) -> str | None:
        return None if value is None else value.replace("\\n", "\n")  # a shell gives two letters


@dataclass(frozen=True)
class Asked:
    """One text and its language."""

    text: str
    language: str


def main(arguments: list[str]) -> int:
    """Print the answers. Raises MechclaError for bad input."""
    config = parse("generate", GenerateConfig, joined(arguments))
    found = chosen(config)
    asked = [in_language(text, found.languages) for text in texts_of(config)]
    languages = list(dict.fromkeys(a.language for a in asked))
    model = model_of(found)
    found = with_vectors(found, model)
    items = found.item_set(languages)
    cues = {k: config.cue or cue_of(items, k) for k in languages}
    lines: list[str] = []
    for begin in range(0, len(asked), AT_ONCE):
        part = asked[begin : begin + AT_ONCE]
        table = _table(model, found, config, part, cues, alone=len(asked) == 1)
        if len(asked) > 1 or config.answers > 1:
            _print(part, table)
        lines += _lines(part, table)
    if config.out is not None:
        path = user_path(config.out)
        write_text(path, "".join(f"{line}\n" for line in lines))
        print(f"Answers: {path}")
    return 0


def texts_of(config: GenerateConfig) -> list[str]:
    """The texts: arguments, a file's lines, or standard input's. Raises MechclaError for none."""
    if config.texts and config.file:
        raise MechclaError(
            f"{len(config.texts)} texts and --file {config.file!r}; expected one of the two"
        )
    if config.texts:
        lines, where = list(config.texts), "the arguments"
    elif config.file is not None:
        path, where = user_path(config.file), repr(config.file)
        try:
            with utf8(path):
                lines = path.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise MechclaError(f"cannot read {config.file!r}: {error.strerror}") from error
    elif sys.stdin is not None and not sys.stdin.isatty():
        lines, where = sys.stdin.read().splitlines(), "standard input"
    else:
        raise MechclaError('what to go on with? expected a text, such as "La moneda es", or --file')
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise MechclaError(f"{where}: no text; expected one per line")
    return texts


def in_language(text: str, languages: Sequence[str]) -> Asked:
    """A text and the one of these languages that it says, or that it is written in.

    Raises MechclaError where several are possible.

    >>> in_language("es: La moneda es", ["es", "id"])
    Asked(text='La moneda es', language='es')
    """
    said, colon, rest = text.partition(":")
    if colon and said.strip() in languages and rest.strip():
        return Asked(rest.strip(), said.strip())
    if len(languages) == 1:
        return Asked(text, languages[0])
    language = most_likely(text, languages)
    if language is None:
        raise MechclaError(
            f"which of {', '.join(languages)} is {text[:60]!r} in? write it in front, "
            f"as {f'{languages[0]}: {text[:40]}'!r}"
        )
    return Asked(text, language)


Table = dict[str, list[list[Answer]]]  # by condition: per text, its answers


def _table(
    model: HookedModel,
    found: Chosen,
    config: GenerateConfig,
    part: Sequence[Asked],
    cues: Mapping[str, str | None],
    alone: bool,
) -> Table:
    """The answers of every condition that there is. alone: they are printed as they are written."""
    stream = alone and config.answers == 1
    if stream:
        print(_head(part[0]))
    table: Table = {}
    width = max(map(len, ("unsteered", *found.methods)))
    for name in ("unsteered", *found.methods, "explicit"):
        rows = _of_condition(name, found, part, cues)
        if rows is None:
            continue
        texts, edits = rows
        write = _Line(f"  {name:{width}}  ") if stream else None
        with quiet(stream):  # a bar would stand among the words
            answers = generate(
                model,
                texts,
                edits,
                language=[a.language for a in part],
                max_new_tokens=config.max_new_tokens,
                stop=config.stop,
                template=config.template,
                chat=found.config.chat_form,
                sample=config.sample,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
                seed=config.seed,
                n=config.answers,
                stream=write,
            )
        table[name] = [
            list(answers[i * config.answers : (i + 1) * config.answers]) for i in range(len(part))
        ]
        if write is not None:
            write.end()
    return table


def _of_condition(
    name: str, found: Chosen, part: Sequence[Asked], cues: Mapping[str, str | None]
) -> tuple[list[str], dict[str, tuple[Intervention, ...]]] | None:
    """The texts of a condition and its edits by language; None where it is the unsteered one."""
    languages = list(dict.fromkeys(a.language for a in part))
    if name == "explicit":
        if not any(cues[k] for k in languages):
            return None
        return [f"{cues[a.language] or ''}{a.text}" for a in part], {}
    texts = [a.text for a in part]
    if name == "unsteered":
        return texts, {}
    return texts, {k: found.edits(name, k) for k in languages if k in found.methods[name]}


class _Line:
    """Writes one answer's text as it comes, behind a label."""

    def __init__(self, label: str) -> None:
        self.shown = ""
        print(label, end="", flush=True)

    def __call__(self, answer: Answer) -> None:
        text = plain(answer.text if answer.ended else answer.text.rstrip("\ufffd"))
        if text.startswith(self.shown):  # else memory ran out, and the answer begins again
            print(text[len(self.shown) :], end="", flush=True)
            self.shown = text

    def end(self) -> None:
        print(flush=True)


def plain(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(c if c == "\n" or unicodedata.category(c) != "Cc" else "\ufffd" for c in text)


def _head(asked: Asked) -> str:
    return f"[{asked.language}] {asked.text}"


def _print(part: Sequence[Asked], table: Table) -> None:
    width = max(map(len, table))
    for place, asked in enumerate(part):
        print(_head(asked))
        for name, rows in table.items():
            for answer in rows[place]:
                label = name if answer.number == 0 else ""
                print(f"  {label:{width}}  {plain(answer.text)}")
        print(flush=True)


def _lines(part: Sequence[Asked], table: Table) -> Iterator[str]:
    """A JSON line per text, condition and answer."""
    for place, asked in enumerate(part):
        for name, rows in table.items():
            for a in rows[place]:
                line: dict[str, str | int] = {
                    "language": asked.language,
                    "text": asked.text,
                    "condition": name,
                }
                line |= {"number": a.number, "answer": a.text, "ended": a.ended}
                yield json.dumps(line, ensure_ascii=False)


ABOUT = "answers to your texts: unsteered, steered, and with the country named"
COMMANDS.register("generate", Command(main, ABOUT))
