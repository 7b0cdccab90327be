"""One table of what the parts say, errors that show what was given, and the page's examples."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import mechcla
from mechcla.errors import MechclaError
from mechcla.statistics import (
    compare,
    correct,
    minimum_detectable_effect,
    permutation_test,
    sign_flip,
)
from tests.docs.pages import unlike
from tests.statistics.tables import cultural, noisy


def test_compare_gathers_what_its_parts_say():
    new, old = noisy(4, n=30, shift=1.0)
    new, old = new + cultural(1), old + cultural(2)
    table = compare(new, old, measure="share", resamples=500)
    assert {(r.metric, r.language) for r in table.rows} == {
        *(("transfer", k) for k in ("es", "ko", "el", "all")),
        *((m, k) for m in ("localization", "english_bias") for k in ("es", "ko", "all")),
    }
    singles = {(r.metric, r.language): r.p_value for r in table.rows if r.language != "all"}
    pooled = {(r.metric, r.language): r.p_value for r in table.rows if r.language == "all"}
    for family in (singles, pooled):
        for key, p in correct(family).items():
            cell = table.row(*key)
            assert (cell.p_corrected, cell.family) == (p, len(family))
            assert cell.difference == mechcla.difference(new, old, key[0], "share")[key[1]]
            assert (
                cell.detectable
                == minimum_detectable_effect(new, old, key[0], "share", alpha=0.05 / len(family))[
                    key[1]
                ]
            )
    assert table.row("transfer") in table.findings
    frame = table.to_pandas()
    assert len(frame) == len(table.rows) == len(str(table).splitlines()) - 1
    assert list(frame["p_corrected"]) == [r.p_corrected for r in table.rows]
    assert len({len(line) for line in str(table).splitlines()}) == 1  # columns line up
    plain = compare(new, old, ("transfer",), correction="none")
    assert all(r.p_corrected == r.p_value and r.detectable.alpha == 0.05 for r in plain.rows)
    with pytest.raises(MechclaError, match="no cell 'transfer', 'fr'"):
        table.row("transfer", "fr")


def test_errors_show_what_was_given():
    new, old = noisy(4)
    with pytest.raises(MechclaError, match="unknown metric 'transfr'; did you mean 'transfer'"):
        permutation_test(new, old, "transfr")
    with pytest.raises(
        MechclaError, match=r"localization needs cultural items .* scores \(\d+ rows\) has none"
    ):
        compare(new, old)
    with pytest.raises(
        MechclaError, match=r"share no \(id, language\) for transfer\. scores es: q"
    ):
        permutation_test(new.where(language="es"), old.where(language="ko"), "transfer")
    with pytest.raises(MechclaError, match=r"base: item 'q000' \(es\) stands twice"):
        permutation_test(new, old + old, "transfer")
    with pytest.raises(MechclaError, match="unknown measure 'acc'"):
        permutation_test(new, old, "transfer", "acc")
    with pytest.raises(MechclaError, match="expected different names in a tuple"):
        compare(new, old, "transfer")
    with pytest.raises(MechclaError, match="resamples=0"):
        permutation_test(new, old, "transfer", resamples=0)
    with pytest.raises(MechclaError, match="1 of 2 differences are not finite"):
        sign_flip(np.array([1.0, np.nan]))


def test_the_pages_example_prints_what_the_page_shows(capsys):
    page = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    [(code, shown)] = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(code, "statistics.md", "exec"), {})
    assert unlike(capsys.readouterr().out, shown) == []
