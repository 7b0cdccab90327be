"""Where items come from. A source is one function, registered by name, that returns an ItemSet, or
a `Loaded` if it has something to say of what it left out.
"""

from __future__ import annotations

import inspect
import shlex
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import PIVOT
from mechcla.items.item_set import ItemSet
from mechcla.items.lint import lint
from mechcla.items.texts import check_language
from mechcla.registry import Registry
from mechcla.sources.blend import blend_pairs, blend_questions, blend_report, read_blend
from mechcla.sources.demo import confirm_2_items, confirm_items, demo_items
from mechcla.sources.files import read_items
from mechcla.sources.global_mmlu import read_global_mmlu
from mechcla.sources.hub import read_hub
from mechcla.sources.loaded import LeftOut, Loaded
from mechcla.sources.locqa import locqa_questions, read_locqa
from mechcla.sources.splits import half
from mechcla.storage import user_path

__all__ = [
    "SOURCES",
    "LeftOut",
    "Loaded",
    "Source",
    "blend_pairs",
    "blend_questions",
    "blend_report",
    "half",
    "load",
    "load_items",
    "locqa_questions",
    "register_source",
]

Source = Callable[..., ItemSet | Loaded]
SOURCES: Registry[Source] = Registry("source")
SOURCES.register("demo", demo_items)
SOURCES.register("confirm", confirm_items)
SOURCES.register("confirm-2", confirm_2_items)
SOURCES.register("blend", read_blend)
SOURCES.register("global_mmlu", read_global_mmlu)
SOURCES.register("hub", read_hub)
SOURCES.register("locqa", read_locqa)


def register_source(name: str, source: Source) -> None:
    """Make `load_items(name, **options)` call source(**options), which returns an ItemSet or a
    `mechcla.sources.Loaded`.

    Raises MechclaError if the name is taken.
    """
    SOURCES.register(name, source)


def load_items(
    source: str | Path, languages: Sequence[str] | None = None, **options: Any
) -> ItemSet:
    """Items from a named source ("demo", "confirm", "confirm-2", "global_mmlu", "blend", "locqa",
    "hub") or a file (.jsonl, .csv, .parquet); docs/sources.md.

    languages: keep these, and English, which transfer is measured against; None keeps all. A source
    that has a parameter `languages` reads these only. options go to the source. Items with faults
    that `mechcla.lint` finds are counted in one UserWarning (not those of a file that is read with
    stream=True, as they are needed), and what a source left out in another;
    `mechcla.sources.load` returns it. Raises MechclaError for an unknown source or option, a
    missing file, what is no language code, or a language without items.

    >>> items = mechcla.load_items("demo", languages=["es", "ko"])
    >>> items.languages
    ('en', 'es', 'ko')
    """
    found = load(source, languages, **options)
    warn_of_left_out(found, stacklevel=3)
    if not found.items.streamed:
        warn_of_faults(found.items, source, stacklevel=3)
    return found.items


def warn_of_left_out(found: Loaded, stacklevel: int = 2) -> None:
    """One warning of what a source left out, where it asks for one."""
    if found.warning:
        warnings.warn(found.warning, stacklevel=stacklevel)


def warn_of_faults(items: ItemSet, source: str | Path, stacklevel: int = 2) -> None:
    """One warning that counts what `mechcla.lint` finds, and says how to see it; nothing for clean
    items."""
    report = lint(items)
    if not report.clean:
        named = isinstance(source, str) and source in SOURCES
        shows = (
            "print(mechcla.lint(items))"
            if named
            else f"python -m mechcla lint {shlex.quote(str(source))}"
        )
        warnings.warn(
            f"{source}: {len(report.faulty)} of {len(items)} items have faults "
            f"({report.summary()}); `{shows}` shows them",
            stacklevel=stacklevel,
        )


def load(source: str | Path, languages: Sequence[str] | None = None, **options: Any) -> Loaded:
    """The same as `load_items`, with what was left out and why, and without warnings.

    >>> found = mechcla.sources.load("my.csv", bad_rows="skip")
    >>> print(found)
    ItemSet(1 items: es; 1 universal; 1 dev); 1 left out: 1 column 'role_2' is 'corect'; ...
    """
    if isinstance(languages, str):
        languages = [languages]
    if languages is not None:
        languages = [check_language(language, "languages") for language in languages]
    if isinstance(source, str) and source in SOURCES:
        made = SOURCES[source](**_options(source, SOURCES[source], languages, options))
    elif user_path(source).exists():
        made = read_items(source, **_options(source, read_items, None, options))
    else:
        raise MechclaError(
            f"no source and no file is named {str(source)!r}; {nearest(source, SOURCES)}, or a "
            "path to a .jsonl, .csv or .parquet file or a folder of them"
        )
    found = made if isinstance(made, Loaded) else Loaded(made)
    if languages is None:
        return found
    items = found.items
    for language in languages:
        if language not in items.languages:
            raise MechclaError(
                f"the {str(source)!r} items have no language {language!r}; "
                f"{nearest(language, items.languages, 50)}"
            )
    keep = set(languages) | ({PIVOT} & set(items.languages))
    return replace(
        found,
        items=items.language(*keep),
        left_out=tuple(one for one in found.left_out if one.language in {"", *keep}),
    )


def _options(
    name: str | Path, source: Source, languages: Sequence[str] | None, options: dict[str, Any]
) -> dict[str, Any]:
    known = inspect.signature(source).parameters
    if languages is not None and "languages" in known:
        options = {**options, "languages": languages}
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        for option in options:
            if option not in known:
                raise MechclaError(
                    f"{str(name)!r} has no option {option!r}; {nearest(option, known)}"
                )
    for option, p in known.items():
        if (
            name in SOURCES
            and option not in options
            and p.default is p.empty
            and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ):
            raise MechclaError(
                f"the source {name!r} needs {option}=...; its options are {', '.join(known)}"
            )
    return options
