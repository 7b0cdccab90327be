"""Global-MMLU (Singh et al. 2024, arXiv 2412.03304; Hugging Face `CohereLabs/Global-MMLU`,
Apache-2.0) as items.

MMLU's questions in 42 languages. About 2,850 of the 14,042 a language were annotated for culture:
CS needs knowledge of a culture, CA does not. The culturally agnostic ones are the universal items,
because MMLU as a whole holds culturally sensitive questions, most of them about North America and
Europe.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mechcla.errors import MechclaError, nearest
from mechcla.sources.global_mmlu.build import FORMS, GlobalMMLUReport, build
from mechcla.sources.global_mmlu.cues import LANGUAGES, check_language
from mechcla.sources.global_mmlu.questions import DATASET, languages_in, read_questions
from mechcla.sources.loaded import Loaded
from mechcla.storage import user_path

__all__ = [
    "DATASET",
    "FORMS",
    "LANGUAGES",
    "MAX_SHOTS",
    "SUBSETS",
    "GlobalMMLUReport",
    "read_global_mmlu",
]

SUBSETS: tuple[str, ...] = ("CA", "CS", "all")
MAX_SHOTS = 5  # as many as the dev split has of a subject


def read_global_mmlu(
    languages: Sequence[str] | None = None,
    subset: str = "CA",
    form: str = "cloze",
    shots: int = 0,
    path: str | Path | None = None,
    limit: int | None = None,
    revision: str | None = None,
) -> Loaded:
    """`load_items("global_mmlu", ...)`: universal items that are parallel across the languages and
    English.

    languages: codes of LANGUAGES; English is always read, as the pivot. None means every language
    in `path`. subset: "CA" (culturally agnostic), "CS" (culturally sensitive) or "all", the
    unannotated ones included; English decides. form: "cloze" scores the option texts after the
    question, "letters" scores A to D after MMLU's layout. shots: 0 to 5 answered questions of the
    data set's own dev split in front, the same in every language. path: a folder of your own copy
    (parquet, csv or jsonl); None loads from the hub. limit: at most so many questions per language,
    chosen by hash and so spread over the subjects. revision: a commit of the data set.

    `id` is sample_id, `topic` the subject; dev and test are halves of the hub's test split, by a
    hash of the id. Questions that are not in every language, or have empty or (cloze) equal
    options, are left out in all languages, counted in a warning of `load_items`, and listed here;
    `report` says more. The answer cues and the cloze form are ours. What it cannot show: CS
    questions have one right answer too, so they do not measure localization, and many translations
    are by machine. Raises MechclaError that names file, row and column.

    >>> read_global_mmlu(["es"], "all", path="my_copy").left_out
    (LeftOut(what='arithmetic/test/2', reason='not in this language', language='es'),)
    """
    for what, value, known in (("subset", subset, SUBSETS), ("form", form, FORMS)):
        if value not in known:
            raise MechclaError(f"{what} is {value!r}; {nearest(value, known)}")
    if not 0 <= shots <= MAX_SHOTS:
        raise MechclaError(
            f"shots is {shots}; "
            f"expected 0 to {MAX_SHOTS}, which is what the dev split has of each subject"
        )
    if limit is not None and limit < 1:
        raise MechclaError(
            f"limit is {limit}; expected at least 1 question per language, or None for all"
        )
    if languages is None:
        languages = _all_languages(path)
    asked = tuple(
        dict.fromkeys(["en", *([languages] if isinstance(languages, str) else languages)])
    )
    for language in asked:
        check_language(language)
    questions = {
        language: read_questions(language, "test", path, revision, labels=subset != "all")
        for language in asked
    }
    dev = (
        {
            language: read_questions(language, "dev", path, revision, labels=False)
            for language in asked
        }
        if shots
        else {}
    )
    items, report = build(questions, dev, subset, form, shots, limit)
    return Loaded(items, report.left_out, report, str(report) if report.remarks else "")


def _all_languages(path: str | Path | None) -> tuple[str, ...]:
    if path is None:
        raise MechclaError(
            "which languages of Global-MMLU? "
            "languages=['es', 'ko'] downloads these and English; known: " + ", ".join(LANGUAGES)
        )
    found = languages_in(user_path(path))
    if not found:
        raise MechclaError(
            f"path={str(path)!r} holds no language of Global-MMLU; "
            "expected en/test.csv, en_test.jsonl, ..."
        )
    return found
