"""mechcla.lint: faults in items that would look like findings about a model.

A prompt that names its country is no longer implicit; a doubled space puts every candidate behind a
token that no text has. `lint` says what it found, and what it could not check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mechcla.errors import MechclaError, nearest
from mechcla.items.item import Item
from mechcla.items.lint_rules import RULES, Finding

if TYPE_CHECKING:
    import pandas as pd

LIMIT = (
    "Rules see names of countries with regular endings, spaces and equal texts. An irregular form "
    "of a name, a city or a dish that gives the country away, a wrong answer and a bad translation "
    "are not looked for."
)


@dataclass(frozen=True)
class LintReport:
    """What `lint` found in items.

    findings: faults, by item in the items' order per rule. unchecked: what a rule could not judge,
    with the reason. rules: the rules that were held. limit: what the report does not claim.
    """

    findings: tuple[Finding, ...] = field(repr=False)
    unchecked: tuple[Finding, ...] = field(repr=False)
    n_items: int
    languages: tuple[str, ...]
    rules: tuple[str, ...]
    limit: str = field(default=LIMIT, repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Items with a fault, per rule; every rule that was held is there."""
        return _items_per_rule(self.findings, self.rules)

    @property
    def unchecked_counts(self) -> dict[str, int]:
        """Items that a rule could not judge, per rule."""
        return _items_per_rule(self.unchecked, self.rules)

    @property
    def faulty(self) -> tuple[tuple[str, str], ...]:
        """The (id, language) of every item with a fault, in the order of the findings."""
        return tuple(dict.fromkeys((f.id, f.language) for f in self.findings))

    @property
    def clean(self) -> bool:
        """Whether nothing was found. What could not be checked is in `unchecked`."""
        return not self.findings

    def summary(self) -> str:
        """The counts per rule in one line: "3 country-in-prompt, 1 double-space", or "no
        faults"."""
        return ", ".join(f"{n} {rule}" for rule, n in self.counts.items() if n) or "no faults"

    def record(self) -> dict[str, Any]:
        """A JSON object: counts, rows and the limit."""
        return {
            "n_items": self.n_items,
            "languages": list(self.languages),
            "counts": self.counts,
            "unchecked": self.unchecked_counts,
            "rows": self.rows(),
            "limit": self.limit,
        }

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary per finding, those with severity "unchecked" at the end."""
        return [asdict(f) for f in (*self.findings, *self.unchecked)]

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a table: id, language, rule, message, field, severity."""
        import pandas as pd

        return pd.DataFrame(self.rows(), columns=list(Finding.__dataclass_fields__))

    def __str__(self) -> str:
        return self.text()

    def text(self, shown: int = 20) -> str:
        """The report for people: counts, the first `shown` findings, what was not checked, the
        limit."""
        what = f"{_n_items(self.n_items)} in {' '.join(self.languages) or 'no language'}"
        lines = [f"{what}: {self.summary()}"]
        lines += [f"  {finding.severity}: {finding}" for finding in self.findings[:shown]]
        if len(self.findings) > shown:
            lines.append(f"  ... and {len(self.findings) - shown} more (rows() has them all)")
        groups = Counter((f.rule, f.language, f.message) for f in self.unchecked)
        lines += [
            f"not checked: {rule}, {_n_items(n)} in {language or 'all languages'}: {message}"
            for (rule, language, message), n in groups.items()
        ]
        return "\n".join([*lines, self.limit])


def lint(
    items: Iterable[Item],
    languages: str | Sequence[str] | None = None,
    rules: str | Sequence[str] | None = None,
) -> LintReport:
    """Check items against the registered rules, in any language.

    items: an ItemSet, or any items. languages: check these only; None checks all. rules: names in
    `mechcla.items.lint_rules.RULES`; None holds all, your own among them. Raises MechclaError for
    an unknown rule or a language without items. Names of countries are known for the seven demo
    cultures; with Babel (the extra `data`) for all that CLDR knows; otherwise they are read from
    what the explicit prompts add. Source: ours.

    >>> report = mechcla.lint(mechcla.load_items("items.jsonl"))
    >>> report.counts["country-in-prompt"], report.clean
    (0, True)
    """
    kept = _of_languages(tuple(items), languages)
    names = RULES.names() if rules is None else _some("rules", rules)
    found: list[Finding] = []
    for name in names:
        for finding in RULES.get(name)(kept):
            if not isinstance(finding, Finding):
                raise MechclaError(
                    f"the lint rule {name!r} yielded {finding!r:.80}; expected a Finding, such as "
                    "Finding(item.id, item.language, 'my-rule', 'what is wrong')"
                )
            found.append(finding)
    return LintReport(
        tuple(f for f in found if f.severity != "unchecked"),
        tuple(f for f in found if f.severity == "unchecked"),
        len(kept),
        tuple(dict.fromkeys(item.language for item in kept)),
        names,
    )


def _of_languages(
    items: tuple[Item, ...], languages: str | Sequence[str] | None
) -> tuple[Item, ...]:
    if languages is None:
        return items
    asked = _some("languages", languages)
    have = dict.fromkeys(item.language for item in items)
    for language in asked:
        if language not in have:
            raise MechclaError(f"no items in language {language!r}; {nearest(language, have, 50)}")
    return tuple(item for item in items if item.language in asked)


def _some(what: str, names: str | Sequence[str]) -> tuple[str, ...]:
    # An empty selection would check nothing and find everything clean.
    if not names:
        raise MechclaError(f"{what}={names!r} selects nothing; leave it out for all of them")
    return (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))


def _n_items(n: int) -> str:
    return f"{n} item" if n == 1 else f"{n} items"


def _items_per_rule(findings: Iterable[Finding], rules: Iterable[str]) -> dict[str, int]:
    counts = dict.fromkeys(rules, 0)
    for _, _, rule in {(f.id, f.language, f.rule) for f in findings}:
        counts[rule] = counts.get(rule, 0) + 1
    return counts
