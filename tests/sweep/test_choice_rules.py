"""Choice rules and constraints: shrinkage by hand, its two ends, and rules of a user's own from
Python, YAML and the command line.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import mechcla
from mechcla.errors import MechclaError
from mechcla.items.item_set import ItemSet
from mechcla.steering.method import Method
from mechcla.sweep import plugins
from mechcla.sweep.__main__ import main
from mechcla.sweep.choosing import CONSTRAINTS, RULES, ChoiceRule
from mechcla.sweep.choosing.shrunken import shrink, shrunken
from mechcla.sweep.config import make, parse
from mechcla.sweep.dev_point import covariances, point_of, within

EN = Method(en_layer=1, en_strength=0.3)
LANGUAGES = ("es", "ko", "fa")
GAINS = st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3)


def apart(*variances, languages=LANGUAGES):
    """Sampling variances of languages that share no question."""
    return {(k, k): v for k, v in zip(languages, variances, strict=False)}


def of_items(method, kind, columns):
    """A point from its items' changes, {language: [change of question 0, 1, ...]}."""
    axis = {"universal": "transfer", "cultural": "localization"}[kind]
    return point_of(
        method,
        {
            (k, kind): {axis: {f"q{n}": v for n, v in enumerate(column)}}
            for k, column in columns.items()
        },
    )


def test_shrinkage_by_hand():
    """Gains 0, 0.3, 0.6: mean 0.3, variance 0.09. Noise 0.03, 0.06, 0: mean 0.03, so tau2 0.06; the
    weights are 2/3, 1/2 and 1.
    """
    found = shrink({"es": 0.0, "ko": 0.3, "fa": 0.6}, apart(0.03, 0.06, 0.0))
    assert found.mean == pytest.approx(0.3)
    assert found.tau2 == pytest.approx(0.06)
    assert found.gains == pytest.approx({"es": 0.1, "ko": 0.3, "fa": 0.6})
    # w o + (1 - w)^2 (variance of the mean, 0.09 / 9, and tau2 / 3)
    assert found.variances == pytest.approx(
        {"es": 0.02 + 0.03 / 9, "ko": 0.03 + 0.03 / 4, "fa": 0.0}
    )


def test_noise_that_languages_share_draws_none_of_them():
    """Variance 0.05 of which 0.02 is in common: 0.03 of a language's own. Gains 0 and 0.4: variance
    0.08, tau2 0.05, weight 5/8.
    """
    both = {("es", "es"): 0.05, ("ko", "ko"): 0.05, ("es", "ko"): 0.02, ("ko", "es"): 0.02}
    found = shrink({"es": 0.0, "ko": 0.4}, both)
    assert found.tau2 == pytest.approx(0.05)
    assert found.gains == pytest.approx({"es": 0.075, "ko": 0.325})


@given(GAINS)
def test_where_languages_do_not_differ_beyond_their_noise_each_sees_the_pooled_gain(gains):
    noisy = apart(*[1.0 + float(np.var(gains, ddof=1))] * 3)
    found = shrink(dict(zip(LANGUAGES, gains, strict=True)), noisy)
    assert found.tau2 == 0
    assert set(found.gains.values()) == {found.mean}
    assert found.mean == pytest.approx(np.mean(gains), abs=1e-15)


@given(GAINS)
def test_without_noise_each_sees_its_own_gain(gains):
    own = dict(zip(LANGUAGES, gains, strict=True))
    assert shrink(own, apart(0.0, 0.0, 0.0)).gains == pytest.approx(own, abs=1e-15)
    almost = shrink(own, apart(1e-30, 1e-30, 1e-30)).gains
    assert almost == pytest.approx(own, abs=1e-7)


@given(GAINS, st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_what_is_seen_lies_between_the_mean_and_the_own_gain(gains, variances):
    found = shrink(dict(zip(LANGUAGES, gains, strict=True)), apart(*variances))
    for language, gain in zip(LANGUAGES, gains, strict=True):
        low, high = sorted((found.mean, gain))
        assert low - 1e-15 <= found.gains[language] <= high + 1e-15
        assert found.variances[language] >= 0


def test_an_unknown_noise_draws_to_the_mean_altogether_and_one_language_is_itself():
    found = shrink({"es": 0.0, "ko": 0.3, "fa": 0.9}, apart(0.0, math.nan))
    assert found.gains["ko"] == found.gains["fa"] == found.mean
    assert shrink({"es": 0.25}, {("es", "es"): 0.01}).gains == {"es": 0.25}


def test_standard_errors_are_those_of_scipy_and_the_pooled_one_keeps_questions_together():
    rng = np.random.default_rng(0)
    question = rng.normal(size=12)
    columns = {k: list(question + rng.normal(size=12)) for k in LANGUAGES}
    found = of_items(EN, "universal", columns)
    for k, column in columns.items():
        assert found.errors["transfer"][k] == pytest.approx(stats.sem(column))
        assert found.by_language[k][0] == pytest.approx(np.mean(column))
    by_question = np.mean(list(columns.values()), axis=0)  # languages of a question are one draw
    assert found.error("transfer") == pytest.approx(stats.sem(by_question))
    assert math.isnan(found.error("localization"))
    two = within(found, ["es", "fa"])
    by_question = np.mean([columns["es"], columns["fa"]], axis=0)
    assert two.error("transfer") == pytest.approx(stats.sem(by_question))
    json.dumps(found.describe())


def test_covariance_of_languages_that_share_some_questions():
    """By hand: questions b and c are shared, with deviations 0 and 1 in es, -1 and 1 in ko."""
    found = covariances({"es": {"a": -1.0, "b": 0.0, "c": 1.0}, "ko": {"b": 0.0, "c": 2.0}})
    assert found["es", "es"] == pytest.approx(1 / 3)
    assert found["ko", "ko"] == pytest.approx(2 / 2)
    # sum of products 0 * -1 + 1 * 1, times 2 / (2 - 1) for two shared, over 3 * 2
    assert found["es", "ko"] == found["ko", "es"] == pytest.approx(1 * 2 / 6)
    assert math.isnan(covariances({"es": {"a": 0.5}})["es", "es"])


def test_a_shrunken_point_is_one_language_s_on_every_axis():
    columns = {"es": [0.1, 0.3], "ko": [0.5, 0.7], "fa": [0.2, 0.0]}
    point = of_items(EN, "universal", columns)
    (seen,) = shrunken([point], "ko")
    by_hand = shrink(
        {k: float(np.mean(v)) for k, v in columns.items()}, point.covariances["transfer"]
    )
    assert seen.d_transfer == seen.by_language["ko"][0] == by_hand.gains["ko"]
    assert seen.by_language.keys() == {"ko"}
    assert seen.error("transfer") == pytest.approx(math.sqrt(by_hand.variances["ko"]))
    assert math.isnan(seen.d_localization)
    assert shrunken([point], "el") == []
    lost = replace(point, not_finite=(("es", "universal"),))
    assert shrunken([lost], "ko") == [lost]


CODE = """
from dataclasses import replace

from mechcla.sweep.choosing import CONSTRAINTS, RULES, ChoiceRule, Constraint


def halved(points, language):
    '''Each language sees the mean of its own gains and those of all.'''
    for p in points:
        if language in p.by_language:
            both = zip(p.by_language[language], (p.d_transfer, p.d_localization))
            t, loc = ((a + b) / 2 for a, b in both)
            yield replace(p, d_transfer=t, d_localization=loc, by_language={language: (t, loc)})


RULES.register("halved", ChoiceRule("halfway", seen=lambda p, k: list(halved(p, k))))
CONSTRAINTS.register("deep", Constraint("deep", lambda p, limits: p.method.loc_layer > 2))
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    path = tmp_path_factory.mktemp("rules") / "my_rules.py"
    path.write_text(CODE)
    yield path
    plugins._loaded.pop("my_rules", None)
    for registry, name in ((RULES, "halved"), (CONSTRAINTS, "deep")):
        if name in registry:
            registry.remove(name)


@pytest.fixture(scope="module")
def three(small_items):
    """English, Spanish, and a third language whose prompts differ."""
    other = [
        replace(
            i,
            language="ko",
            prompt=f"{i.prompt} o",
            prompt_explicit=i.prompt_explicit and f"{i.prompt_explicit} i",
            prompt_us=i.prompt_us and f"{i.prompt_us} i",
        )
        for i in small_items.language("es")
    ]
    return ItemSet((*small_items, *other))


FEW = {"layers": [1, 2, 3], "restore": False, "controls": False, "resamples": 100}
FEW |= {"figures": False}


def chosen_by_hand(selection):
    """EN and LOC by the formula, from the points that the record shows: {family: {language:
    name}}.
    """
    found = {"EN": {}, "LOC": {}}
    for choice in selection["choices"]:
        (language,) = choice["languages"]
        for n, family in enumerate(found):
            everywhere = {}
            for other in selection["choices"]:
                for p in other["points"]:
                    if p["family"] == family:
                        (values,) = p["by_language"].values()
                        everywhere.setdefault(p["name"], []).append(values[n])
            own = {
                p["name"]: p["by_language"][language][n]
                for p in choice["points"]
                if p["family"] == family
            }
            seen = {name: (own[name] + np.mean(everywhere[name])) / 2 for name in own}
            name = max(seen, key=seen.get)
            found[family][language] = name if seen[name] > 0 else "unsteered"
    return found


def test_a_rule_and_a_constraint_of_ones_own_from_the_command_line_yaml_and_python(
    plugin, tiny_folders, tiny_models, three, tmp_path
):
    three.to_jsonl(tmp_path / "items.jsonl")
    arguments = ["--plugins", str(plugin), "--model", str(tiny_folders["llama"])]
    arguments += ["--items", str(tmp_path / "items.jsonl"), "--layers", "1,2,3", "--no-restore"]
    arguments += ["--no-controls", "--no-figures", "--resamples", "100", "--device", "cpu"]
    arguments += ["--choose", "halved", "--constraint", "deep", "--loc-strengths", "1,4"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    run = mechcla.read_run(tmp_path / "run")
    selection = json.loads((run.folder / "selection.json").read_text())
    assert (selection["choose"], selection["constraint"]) == ("halved", "deep")
    by_hand = chosen_by_hand(selection)
    for family, expected in by_hand.items():
        assert {k: v["name"] for k, v in run.choice[family].items()} == expected
    for method in run.choice["SUR"].values():
        assert method["family"] == "unsteered" or method["loc_layer"] > 2

    (tmp_path / "c.yaml").write_text(
        f"plugins: [{plugin}]\nchoose: halved\nconstraint: deep\nlayers: [1, 2, 3]\n"
        f"model: {tiny_folders['llama']}\nitems: {tmp_path / 'items.jsonl'}\nrestore: false\n"
        "controls: false\nresamples: 100\ndevice: cpu\nloc_strengths: [1, 4]\n"
    )
    config = parse(["--config", str(tmp_path / "c.yaml")])
    assert (config.choose, config.constraint) == ("halved", "deep")

    held = mechcla.configure(
        tiny_models["llama"],
        three,
        choose="halved",
        constraint="deep",
        try_positions=[],
        **FEW,
        loc_strengths=[1, 4],
    )
    for family, methods in run.choice.items():
        for k, method in methods.items():
            assert held.method(family, k).name == method["name"]
    identity = json.loads((run.folder / "record.json").read_text())["identity"]
    assert len(identity["plugin my_rules"]) == 64
    assert "code of choice rule halved" in identity


@pytest.mark.parametrize("name", ["language", "pooled", "shrunken"])
def test_every_rule_s_choice_is_the_formula_s_on_the_points_of_the_record(
    name, tiny_models, three, tmp_path
):
    """With other positions tried too; test is scored for every language that was chosen for."""
    run = mechcla.run_sweep(
        tiny_models["llama"],
        three,
        out=tmp_path / "run",
        choose=name,
        constraint="bounded",
        max_loss=0.5,
        loc_strengths=[1, 4],
        try_positions=["last_prompt_token"],
        **FEW,
    )
    selection = json.loads((run.folder / "selection.json").read_text())
    assert [c["languages"] for c in selection["choices"]] == (
        [["es", "ko"]] if name == "pooled" else [["es"], ["ko"]]
    )
    for n, family in enumerate(("EN", "LOC")):
        own = {"es": {}, "ko": {}}
        for choice in selection["choices"]:
            for p in choice["points"]:
                for k, gains in p["by_language"].items():
                    if p["family"] == family:
                        own[k][p["name"]] = gains[n]
        if name != "language":  # every method, in every language
            assert own["es"].keys() == own["ko"].keys()
            shared = {m: (own["es"][m] + own["ko"][m]) / 2 for m in own["es"]}
        for k, gains in own.items():
            seen = {"language": gains, "pooled": shared if name == "pooled" else {}}.get(name)
            if seen is not None:
                top = max(seen, key=seen.get)
                expected = top if seen[top] > 0 else "unsteered"
                assert run.choice[family][k]["name"] == expected
    tried = {p["name"] for c in selection["choices"] for p in c["points"]}
    assert any("@last_prompt_token" in method for method in tried)
    assert {r.language for r in run.scores("SUR")} >= {"es", "ko"}


def test_shrunken_decides_what_shrinkage_of_the_points_says(tiny_models, three):
    """The choice in a sweep against `shrink` on scores that were made anew."""
    model, items = tiny_models["llama"], three
    found = mechcla.configure(
        model, items, choose="shrunken", try_positions=[], dev_items=None, **FEW
    )
    base = mechcla.score(model, items.dev.cultural)
    shares = {(r.language, r.id): local(r) for r in base}
    seen = {"es": {}, "ko": {}}
    for layer in FEW["layers"]:
        for strength in found.config.loc_strengths:
            method = Method(loc_layer=layer, loc_strength=strength)
            columns = {}
            for k in seen:
                edit = method.interventions(found.vectors, k)
                scores = mechcla.score(model, items.dev.cultural.language(k), edit)
                columns[k] = {r.id: local(r) - shares[k, r.id] for r in scores}
            drawn = shrink(
                {k: float(np.mean(list(c.values()))) for k, c in columns.items()},
                covariances(columns),
            )
            for k in seen:
                seen[k][method.name] = drawn.gains[k]
    for k, gains in seen.items():
        top = max(gains, key=gains.get)
        assert found.method("LOC", k).name == (top if gains[top] > 0 else "unsteered")
        assert found.choices.by_language[k].chosen["LOC"].d_localization == pytest.approx(
            max(gains[top], 0.0), abs=1e-4
        )


def local(row):
    """The share of the local answer."""
    return sum(float(s) for s, role in zip(row.shares(), row.roles, strict=True) if role == "local")


def test_a_rule_registered_from_python_is_a_valid_value_and_its_name_is_one_word():
    RULES.register("of_a_script", ChoiceRule("as pooled"))
    try:
        assert make({"choose": "of_a_script"}).choose == "of_a_script"
    finally:
        RULES.remove("of_a_script")
    with pytest.raises(MechclaError, match="setting 'choose' is 'of_a_script'"):
        make({"choose": "of_a_script"})
    with pytest.raises(MechclaError, match="expected one word without spaces"):
        RULES.register("two words", ChoiceRule("no"))
