"""A source, a recipe, a family, a metric and a control arm of the user's own: one file, outside the
package, and they work from Python, YAML and the command line.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import mechcla
from mechcla.errors import MechclaError
from mechcla.steering import families
from mechcla.steering.families import Family
from mechcla.sweep import plugins
from mechcla.sweep.__main__ import main
from mechcla.sweep.config import parse
from mechcla.vectors.recipes import RECIPES

CODE = '''
from pathlib import Path

import mechcla
from mechcla.metrics.metrics import METRICS, Metric
from mechcla.steering.controls import ARMS, Arm, like
from mechcla.steering.families import FAMILIES, Family
from mechcla.steering.grid import loc_grid
from mechcla.vectors.recipes import RECIPES, mean_difference

HERE = Path(__file__).parent


def questions(languages=None):
    """A source of its own."""
    return mechcla.load_items(HERE / "items.jsonl", languages)


def flipped(plus, minus):
    """A recipe: the mean difference, backwards."""
    return -mean_difference(plus, minus)


def search(dev):
    dev.score([m.named_as("LOC2") for m in loc_grid(dev.layers, dev.strengths("LOC"))])


def twice(method, vectors, language, manner):
    """A family: LOC at its layer, and once more at the last site of the same block."""
    return method.parts(vectors, language, manner) * 2


def away(dev):
    dev.score([m.named_as("AWAY") for m in loc_grid(dev.layers, dev.strengths("LOC"))])


mechcla.register_source("mine", questions)
RECIPES.register("flipped", flipped)
METRICS.register("other_bias", Metric("cultural", "other"))
ARMS.register("half", Arm("half", lambda v, seed: {**v, "LOC": like(v["EN"], v["LOC"], "half")}))
FAMILIES.register(
    "LOC2", Family("LOC2", ("localization",), ("LOC",), ("half",), search, twice, mark="P")
)
FAMILIES.register("AWAY", Family("AWAY", ("other_bias",), ("LOC",), ("half",), away))
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory, small_items):
    folder = tmp_path_factory.mktemp("plugin")
    small_items.to_jsonl(folder / "items.jsonl")
    (folder / "of_my_own.py").write_text(CODE)
    yield folder / "of_my_own.py"
    plugins._loaded.pop("of_my_own", None)


@pytest.fixture(scope="module")
def run(plugin, tiny_folders):
    out = plugin.parent / "run"
    arguments = ["--plugins", str(plugin), "--model", str(tiny_folders["llama"]), "--items", "mine"]
    arguments += ["--layers", "0,2", "--no-restore", "--resamples", "100", "--recipe", "flipped"]
    arguments += ["--no-figures"]
    assert main([*arguments, "--device", "cpu", "--loc-strengths", "4", "--out", str(out)]) == 0
    return mechcla.read_run(out)


def test_all_of_them_are_in_a_run_from_the_command_line(run, tiny_models, small_items):
    assert {"LOC2", "LOC2 half", "LOC shuffled"} <= set(run.conditions)
    assert (
        run.summary.one(method="LOC2", language="es", metric="other_bias", measure="share")["n"]
        == 3
    )
    assert run.arms.where(method="LOC2", against="LOC2 half", measure="share", language="es")
    model = tiny_models["llama"]
    real = mechcla.loc_vectors(model, small_items.dev)
    assert torch.allclose(run.vectors["LOC"]["es"], -real["es"], atol=1e-5)
    chosen = run.choice["LOC2"]["es"]
    if chosen["family"] == "LOC2":
        edit = mechcla.loc_steering(
            run.vectors["LOC"], language="es", layer=chosen["loc_layer"], strength=8.0
        )  # twice 4
        fresh = mechcla.score(model, small_items.test.cultural.language("es"), edit)
        mine = run.scores("LOC2").where(kind="cultural")
        for a, b in zip(mine, fresh, strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-3)
    identity = json.loads((run.folder / "record.json").read_text())["identity"]
    assert len(identity["plugin of_my_own"]) == 64


def share_of(scores, role):
    """The mean share of a role, item by item."""
    shares = [
        sum(float(s) for s, r in zip(row.shares(), row.roles, strict=True) if r == role)
        for row in scores
    ]
    return sum(shares) / len(shares)


def test_a_family_whose_axis_is_a_metric_of_ones_own_is_chosen_and_tested_by_it(
    run, tiny_models, small_items
):
    """Dev gains by hand, from scores of the same edits; the largest one is chosen."""
    model, items = tiny_models["llama"], small_items.dev.cultural.language("es")
    base = share_of(mechcla.score(model, items), "other")
    selection = json.loads((run.folder / "selection.json").read_text())
    (points,) = [c["points"] for c in selection["choices"] if c["languages"] == ["es"]]
    mine = [p for p in points if p["family"] == "AWAY"]
    assert [p["loc_layer"] for p in mine] == [0, 2]
    for p in mine:
        edit = mechcla.loc_steering(
            run.vectors["LOC"], language="es", layer=p["loc_layer"], strength=p["loc_strength"]
        )
        by_hand = share_of(mechcla.score(model, items, edit), "other") - base
        assert p["others"]["other_bias"]["es"] == pytest.approx(by_hand, abs=1e-4)
    assert all("others" not in p for p in points if p["family"] != "AWAY")
    best = max(mine, key=lambda p: p["others"]["other_bias"]["es"])
    steered = best["others"]["other_bias"]["es"] > 0
    chosen = run.choice["AWAY"]["es"]
    assert (chosen["family"], chosen.get("loc_layer")) == (
        ("AWAY", best["loc_layer"]) if steered else ("unsteered", None)
    )
    for table in (run.tests, run.arms):
        found = table.where(method="AWAY", metric="other_bias", measure="share", language="es")
        assert len(found) == 1
    assert not run.tests.where(method="LOC", metric="other_bias")


def test_and_from_yaml_and_from_python(plugin, run, tmp_path):
    (tmp_path / "c.yaml").write_text(f"plugins: [{plugin}]\nrecipe: flipped\nitems: mine\n")
    config = parse(["--config", str(tmp_path / "c.yaml")])
    assert (config.recipe, config.items, config.plugins) == ("flipped", "mine", [str(plugin)])
    assert mechcla.load_items("mine", ["es"]).languages == ("en", "es")
    found = mechcla.metrics.metrics.metric(run.scores("unsteered"), "other_bias", "share")
    shares = [
        float(sum(s for s, role in zip(r.shares(), r.roles, strict=True) if role == "other"))
        for r in run.scores("unsteered")
        if r.kind == "cultural" and r.language == "es"
    ]
    assert found["es"].value == pytest.approx(sum(shares) / len(shares))


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("broken.py", "import no_such_thing", "cannot be imported: ModuleNotFoundError"),
        (
            "taken.py",
            "import mechcla\nmechcla.register_source('demo', len)",
            "'demo' is registered already",
        ),
        (
            "spaced.py",
            "from mechcla.steering.families import FAMILIES, Family\n"
            "FAMILIES.register('LOC twice', Family('LOC twice', ('localization',)))",
            "the name of a family is 'LOC twice'; expected one word without spaces, e.g. "
            "'LOC_twice'",
        ),
    ],
)
def test_a_plugin_that_fails_is_one_message(name, code, message, tmp_path, capsys):
    (tmp_path / name).write_text(code)
    assert main(["--plugins", str(tmp_path / name), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_axis_that_is_no_metric_is_refused_before_anything_is_written(
    tiny, small_items, tmp_path
):
    wrong = Family("WRONG", ("localisation",), ("LOC",))
    families.FAMILIES.register("WRONG", wrong)
    try:
        with pytest.raises(
            MechclaError,
            match=r"family 'WRONG' is for the axis 'localisation', which is no registered metric; "
            r"did you mean 'localization'",
        ):
            mechcla.run_sweep(tiny, small_items, out=tmp_path / "run")
    finally:
        families.FAMILIES.remove("WRONG")
    assert not (tmp_path / "run").exists()


def test_a_plugin_that_is_not_there_and_a_recipe_that_is_none():
    with pytest.raises(MechclaError, match=r"cannot load the plugin 'nowhere\.py'"):
        parse(["--plugins", "nowhere.py"])
    with pytest.raises(MechclaError, match="setting 'recipe' is 'ldaa': did you mean 'lda'"):
        parse(["--recipe", "ldaa"])
    assert Path("nowhere.py").exists() is False


def test_a_recipe_registered_from_python_is_in_the_identity(tiny_models, small_items, tmp_path):
    """Other code under the same name is another run: its old vectors are not taken for new ones."""

    def halved(plus, minus):
        return (plus - minus).mean(0) / 2

    def doubled(plus, minus):
        return (plus - minus).mean(0) * 2

    how = {"out": tmp_path / "run", "recipe": "of a script", "layers": [0, 2]}
    how |= {"restore": False, "resamples": 100, "languages": ["es"], "controls": False}
    how |= {"figures": False}
    RECIPES.register("of a script", halved)
    mechcla.run_sweep(tiny_models["llama"], small_items, **how)
    RECIPES.remove("of a script")
    RECIPES.register("of a script", doubled)
    with pytest.raises(MechclaError, match="code of recipe of a script"):
        mechcla.run_sweep(tiny_models["llama"], small_items, **how)


OWN = """
from mechcla.engine.operators import OPERATORS
from mechcla.vectors.recipes import RECIPES

OPERATORS.register("NAME_add", OPERATORS["add"])
RECIPES.register("NAME_recipe", RECIPES["mean_difference"])
"""


@pytest.mark.parametrize("form", ["[{}]", "{}", '["{}"]'])
def test_flags_may_name_what_the_files_plugins_register(form, tmp_path):
    name = f"filed{len(form)}"
    (tmp_path / f"{name}.py").write_text(OWN.replace("NAME", name))
    (tmp_path / "c.yaml").write_text(f"plugins: {form.format(tmp_path / f'{name}.py')}\n")
    asked = ["--no-restore", "--operator", f"{name}_add", f"--recipe={name}_recipe"]
    try:
        config = parse(["--config", str(tmp_path / "c.yaml"), *asked])
    finally:
        plugins._loaded.pop(name, None)
    assert (config.operator, config.recipe) == (f"{name}_add", f"{name}_recipe")
    assert config.plugins == [str(tmp_path / f"{name}.py")]


def test_flags_may_name_what_any_of_several_plugins_registers(tmp_path):
    names = ["first_of_two", "second_of_two"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(OWN.replace("NAME", name))
    asked = [flag for name in names for flag in ("--plugins", str(tmp_path / f"{name}.py"))]
    try:
        assert parse([*asked, "--recipe", f"{names[1]}_recipe"]).recipe == f"{names[1]}_recipe"
    finally:
        for name in names:
            plugins._loaded.pop(name, None)


def test_plugins_that_are_no_names_are_one_message(tmp_path):
    (tmp_path / "c.yaml").write_text("plugins: 5\n")
    with pytest.raises(MechclaError, match="setting 'plugins' is 5"):
        parse(["--config", str(tmp_path / "c.yaml")])
