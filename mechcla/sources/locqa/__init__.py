"""LocQA (Mor-Lan et al. 2026, arXiv 2604.19292): 44 questions that name no country, asked in twelve
languages about 49 places.

Read from the user's own copy; nothing of it is shipped, for its repository states no licence. See
docs/locqa.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mechcla.errors import MechclaError
from mechcla.items.open_item import OpenItem
from mechcla.sources.loaded import Loaded
from mechcla.sources.locqa.build import build_items, build_questions
from mechcla.sources.locqa.places import Choice, find_places
from mechcla.sources.locqa.read import read_file
from mechcla.sources.locqa.report import LocQAReport, PlaceReport

__all__ = ["LocQAReport", "PlaceReport", "locqa_questions", "read_locqa"]


def read_locqa(
    path: str | Path,
    languages: Iterable[str] | None = None,
    places: Choice = None,
    n_other: int = 2,
    seed: int = 0,
) -> Loaded:
    """`load_items("locqa", ...)`: cultural items of each place asked for, and what was left out.

    path: locqa.json or its folder. places: per language one ISO 3166 code or several, {"es": "ES",
    "fr": ["FR", "CA"]}. languages: codes; None for those of `places`, or all twelve; English is
    always read. A language that `places` does not name has all its places. One asked about one
    place has the bare tag; with several the main place has it, the others "es-MX", and
    `load_items` keeps the tags that its `languages` names. n_other: distractors beside the US
    answer, one more without it; fewer where there are no more. seed: which, and the order.

    `id` is the question's, the same for all places and languages, so dev and test, paired
    differences and bootstraps go by question. A candidate's `country` lists all places of the
    language that give that answer, its own first ("US CL CO"). Outside English and Spanish items
    are made only where the American answer is a number, a date or a code. Raises MechclaError for
    an unknown language or place, or a file of another form. Source: ours, over LocQA's questions
    and answers.

    >>> found = read_locqa("locqa.json", ["es"], {"es": ["ES", "MX"]})
    >>> found.items.languages
    ('en', 'en-GB', 'en-CA', 'es', 'es-MX')
    """
    if not isinstance(n_other, int) or isinstance(n_other, bool) or n_other < 1:
        raise MechclaError(f"n_other={n_other!r}; expected a whole number of at least 1")
    if languages is not None:
        languages = dict.fromkeys(("en", *languages))
    items, report = build_items(read_file(path), find_places(languages, places), n_other, seed)
    return Loaded(items, report.left_out, report)


def locqa_questions(
    path: str | Path, languages: Iterable[str] | None = None, places: Choice = None
) -> tuple[OpenItem, ...]:
    """Every question that the file answers for these places, to be answered in free text.

    The second way: all kinds of answers, not only those that can be carried. `groups` is the
    place's one answer; `us_groups` the American one where the language has it, with the file's
    English text. Arguments and errors as of `read_locqa`. Source: ours, over LocQA.

    >>> locqa_questions("locqa.json", ["fr"], {"fr": "FR"})[0].groups[0].answers
    ('18 ans', '18')
    """
    return build_questions(read_file(path), find_places(languages, places))
