"""The table of docs/smollm2.md that no other page has."""

from __future__ import annotations

from pathlib import Path

from analyses.docs.tables import markdown, named
from analyses.docs.values import read, row, with_interval

COLUMNS = (
    ("unsteered", "transfer"),
    ("unsteered", "localization"),
    ("explicit", "localization"),
    ("unsteered", "english_bias"),
)


@named("unsteered")
def unsteered(folder: Path, run: str, measure: str) -> str:
    """The unsteered model's values by language, English first, and with the country named."""
    languages = ["en", *read(f"{run}/selection", folder)["chosen"]["LOC"]]
    rows = []
    for language in languages:
        cells = []
        for method, metric in COLUMNS:
            if (language, metric) == ("en", "english_bias"):
                cells.append("")  # English has no American answer beside its own
                continue
            same = {"method": method, "metric": metric, "measure": measure}
            found = row(f"{run}/summary", folder, language=language, **same)
            cells.append(with_interval(found, "value"))
        rows.append([language, *cells])
    head = ["transfer", "localization", "localization, country named", "English bias"]
    return markdown([measure, *head], rows)
