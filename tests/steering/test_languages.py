"""A vector is added to its own language's rows only, unless that is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import mechcla
from mechcla.answers.generation import generate
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.steering.controls import control
from mechcla.steering.linear_map import fit_map, map_steering
from mechcla.vectors.extract import extract
from mechcla.vectors.residuals import cache_residuals
from tests.conftest import universal

LANGUAGES = ("es", "ko")


@pytest.fixture(scope="module")
def items() -> ItemSet:
    rows = []
    for n, (country, city) in enumerate((("Japan", "Tokyo"), ("Peru", "Lima"), ("Italy", "Rome"))):
        prompts = {"en": f"The capital of {country} is", "es": f"La capital de {country} es"}
        prompts["ko"] = f"{country}의 수도는"
        for split in ("dev", "test"):
            rows += [
                universal(f"{n}{split}", k, text, city, "Paris", split=split)
                for k, text in prompts.items()
            ]
    return ItemSet(tuple(rows))


@pytest.fixture(scope="module")
def vectors(tiny, items):
    return mechcla.en_vectors(tiny, items.dev)


def steering(vectors, language: str, **settings):
    return mechcla.en_steering(
        vectors, language=language, **({"layer": 1, "strength": 2.0} | settings)
    )


def by(table, language: str):
    return tuple(r for r in table.rows if r.language == language)


def test_what_methods_make_knows_its_language(tiny, items, vectors):
    loc = replace(vectors, name="LOC")
    sur = mechcla.surgical_steering(
        vectors,
        loc,
        language="ko",
        en_layer=0,
        en_strength=1.0,
        loc_layer=2,
        loc_strength=1.0,
        restore_layer=2,
    )
    assert len(sur) == 3
    learnt = fit_map(cache_residuals(tiny, items.dev), "ko", layer=1)
    for edit in (*sur, *steering(vectors, "ko"), *map_steering(learnt, 0.5)):
        assert edit.language == edit.describe()["language"] == "ko"
    assert Intervention(torch.ones(32), 1, 1.0).language is None


@pytest.mark.parametrize(
    ("language", "en_layer", "loc_layer", "message"),
    [
        ("ko", 40, 2, "layer 40: the EN vectors have layers 0 to 3"),  # not: LOC must be deeper
        ("ko", 0, 40, "layer 40: the LOC vectors have layers 0 to 3"),
        ("fa", 0, 2, "no EN vector for language 'fa'; known: "),
        ("ko", 2, 2, "adds LOC deeper than EN; got en_layer 2, loc_layer 2"),
        ("ko", 3, 1, "adds LOC deeper than EN; got en_layer 3, loc_layer 1"),
    ],
)
def test_surgical_steering_says_what_is_wrong(vectors, language, en_layer, loc_layer, message):
    layers = {"en_layer": en_layer, "loc_layer": loc_layer, "en_strength": 1.0, "loc_strength": 1.0}
    loc = replace(vectors, name="LOC")
    with pytest.raises(MechclaError, match=message):
        mechcla.surgical_steering(vectors, loc, language=language, **layers)


def run_score(model, items, edits, **settings):
    return mechcla.score(model, items, edits, **settings)


def run_generate(model, items, edits, **settings):
    return generate(model, items, edits, stop=None, max_new_tokens=4, **settings)


def run_residuals(model, items, edits, **settings):
    return cache_residuals(model, items, interventions=edits, **settings)


RUNS = [run_score, run_generate, run_residuals]


def values(table, language: str):
    if hasattr(table, "values"):
        return table[language].tolist()
    return by(table, language)


@pytest.mark.parametrize("run", RUNS)
def test_rows_of_another_language_are_refused_with_both_names_and_the_fix(
    run, tiny, items, vectors
):
    es, test = steering(vectors, "es"), items.test
    for rows in (test, test.language("ko"), test.language("en")):
        with pytest.raises(
            MechclaError, match=r"EN vector is of 'es', and the rows are of .*'(ko|en)'"
        ):
            run(tiny, rows, es)
    with pytest.raises(
        MechclaError, match=r"\{'es': \.\.\., 'ko'.*language\('es'\).*any_language=True"
    ):
        run(tiny, test.language("ko"), es[0])
    both = (*es, *steering(vectors, "ko", layer=2))
    with pytest.raises(
        MechclaError, match="different languages in one list: EN of 'es' and EN of 'ko'"
    ):
        run(tiny, test.language("es"), both)
    with pytest.raises(MechclaError, match="vector is of 'es', and the rows are of 'ko'"):
        run(tiny, test, {"ko": es})
    with pytest.raises(
        MechclaError, match="interventions name 'kr', of which there is no item; did"
    ):
        run(tiny, test, {"kr": es})
    assert run(tiny, test.language("ko"), es, any_language=True)
    assert run(tiny, test.language("ko"), both, any_language=True)


@pytest.mark.parametrize("run", RUNS)
def test_by_language_each_is_as_alone_and_what_is_not_named_is_unsteered(run, tiny, items, vectors):
    test = items.test
    edits = {k: steering(vectors, k) for k in LANGUAGES}
    table = run(tiny, test, edits)
    for k in LANGUAGES:
        assert values(table, k) == values(run(tiny, test.language(k), edits[k]), k)
        assert values(table, k) == values(run(tiny, test, {k: edits[k][0]}), k)
    plain = run(tiny, test.language("en"), ())
    assert values(table, "en") == values(plain, "en")
    assert values(table, "es") != values(run(tiny, test, ()), "es")
    if run is not run_residuals:
        assert [(r.id, r.language) for r in table] == [(i.id, i.language) for i in test]
        recorded = table.settings["interventions"]
        assert recorded == {k: [e.describe() for e in edits[k]] for k in LANGUAGES}
        assert {e["language"] for k in recorded for e in recorded[k]} == set(LANGUAGES)


@pytest.mark.parametrize("run", RUNS)
def test_the_language_decides_no_number(run, tiny, items, vectors):
    rows = items.test.language("es")
    (edit,) = steering(vectors, "es")
    anyone = replace(edit, language=None)
    assert values(run(tiny, rows, edit), "es") == values(run(tiny, rows, anyone), "es")
    assert values(run(tiny, rows, edit), "es") == values(run(tiny, rows, {"es": edit}), "es")
    wrong = replace(edit, language="ko")
    assert values(run(tiny, rows, wrong, any_language=True), "es") == values(
        run(tiny, rows, edit), "es"
    )
    assert run(tiny, items.test, anyone)  # a vector of one's own suits every language


def test_other_countries_vectors_stand_under_the_steered_language(tiny, small_items):
    korean = [
        replace(i, language="ko", country="KR" if i.kind == "cultural" else i.country)
        for i in small_items
        if i.language == "es"
    ]
    items = ItemSet((*small_items, *korean))
    arms = control("other_country", extract(tiny, items))
    for k in LANGUAGES:
        edits = mechcla.loc_steering(arms["LOC"], language=k, layer=1, strength=2.0)
        assert mechcla.score(tiny, items.cultural.test.language(k), edits)
