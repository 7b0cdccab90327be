"""Where items come from. A source is one function that returns an ItemSet, registered by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mechcla.errors import MechclaError, nearest
from mechcla.items import ItemSet
from mechcla.sources.demo import demo_items
from mechcla.sources.files import file_items

Source = Callable[..., ItemSet]
SOURCES: dict[str, Source] = {"demo": demo_items}


def register_source(name: str, source: Source) -> None:
    """Make `load_items(name, **options)` call source(**options). Raises MechclaError if the name is taken."""
    if name in SOURCES:
        raise MechclaError(f"a source named {name!r} is registered already; known: {', '.join(SOURCES)}")
    SOURCES[name] = source


def load_items(source: str | Path, languages: Sequence[str] | None = None, **options: Any) -> ItemSet:
    """Items from a named source ("demo") or a file of items (.jsonl, .parquet).

    languages: keep these, and English, which transfer is measured against; None keeps all. options go to
    the source. Raises MechclaError for an unknown source, a missing file, or a language without items.

    >>> items = mechcla.load_items("demo", languages=["es", "ko"])
    >>> items.languages
    ('en', 'es', 'ko')
    """
    if isinstance(source, str) and source in SOURCES:
        items = SOURCES[source](**options)
    elif Path(source).exists():
        items = file_items(source, **options)
    else:
        raise MechclaError(f"no source and no file is named {str(source)!r}; {nearest(source, SOURCES)}, or a path to JSONL")
    if languages is None:
        return items
    if isinstance(languages, str):
        languages = [languages]
    for language in languages:
        if language not in items.languages:
            raise MechclaError(
                f"the {str(source)!r} items have no language {language!r}; {nearest(language, items.languages, 50)}"
            )
    keep = set(languages) | ({"en"} & set(items.languages))
    return items.where(lambda item: item.language in keep)
