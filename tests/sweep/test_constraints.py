"""Constraints on a pair, and the settings beside them: layers by name, what quick pins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from mechcla.errors import MechclaError
from mechcla.steering.grid import named_layers, upper_layers
from mechcla.steering.method import Method
from mechcla.sweep.__main__ import main
from mechcla.sweep.choosing import Limits
from mechcla.sweep.choosing.bounded import lower_bound
from mechcla.sweep.config import parse
from mechcla.sweep.dev_point import dev_point
from mechcla.sweep.rule import best

SUR = Method(en_layer=1, en_strength=0.3, loc_layer=3, loc_strength=2.0)


def sure(method, transfer, localization, error):
    """A SUR point with a standard error of its transfer gain."""
    cells = {
        ("es", "universal"): {"transfer": transfer},
        ("es", "cultural"): {"localization": localization},
    }
    spread = {"transfer": {("es", "es"): error**2}}
    return replace(dev_point(method, cells), covariances=spread)


def test_bounded_takes_the_most_localization_whose_bound_holds():
    """At 0.9 the bound is 1.2816 standard errors below the point (scipy)."""
    assert lower_bound(0.0, 0.01, 0.9) == pytest.approx(stats.norm.ppf(0.1, 0.0, 0.01))
    noisy = sure(replace(SUR, loc_strength=4.0), 0.0, 0.09, 0.01)  # bound -0.0128
    held = sure(replace(SUR, loc_strength=2.0), -0.002, 0.05, 0.006)  # bound -0.0097
    more = sure(replace(SUR, loc_strength=1.0), 0.06, 0.01, 0.001)  # the larger sum
    points = [noisy, held, more]
    limits = Limits(constraint="bounded", max_loss=0.01, confidence=0.9)
    assert best(points, "SUR", limits) is held
    assert best(points, "SUR", replace(limits, max_loss=0.013)) is noisy
    assert best(points, "SUR", replace(limits, confidence=0.95)) is more
    assert best(points, "SUR", Limits()) is noisy  # its point is not below -0.01
    unknown = replace(noisy, covariances={})
    assert best([unknown], "SUR", limits).method == Method()
    assert best([unknown], "SUR", Limits(constraint="none")) is unknown
    worse = sure(replace(SUR, loc_strength=0.5), -0.5, 0.6, 0.001)
    assert best([worse, held], "SUR", Limits(constraint="none")) is worse


def test_layers_by_name():
    assert upper_layers(18) == list(range(6, 18))
    assert named_layers("all", 3) == [0, 1, 2]
    for given_layers in ("upper", "[upper]"):
        assert parse(["--layers", given_layers]).layers == "upper"
    assert parse(["--layers", "9,3,9"]).layers == [3, 9]
    fine = parse(["--preset", "fine"])
    assert (fine.layers, fine.loc_strengths) == ("upper", [0.5, 1.0, 2.0, 4.0])
    assert fine.en_strengths == [0.15, 0.3, 0.6]
    assert fine.resolved()["layers"] == "upper"
    with pytest.raises(MechclaError, match="setting 'layers' is 'uper': did you mean 'upper'"):
        parse(["--layers", "uper"])


def test_quick_pins_what_its_scores_rest_on():
    quick = parse(["--preset", "quick"])
    assert (quick.choose, quick.constraint, quick.layers) == ("language", "tolerance", None)
    assert (quick.en_strengths, quick.loc_strengths) == ([0.3], [2.0])
    assert (quick.coarse_step, quick.refine, quick.pair_layers) == (6, 0, 1)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--choose", "shrunk"], "setting 'choose' is 'shrunk': did you mean 'shrunken'"),
        (["--constraint", "bound"], "setting 'constraint' is 'bound': did you mean 'bounded'"),
        (["--max-loss", "nan"], "setting 'max_loss' is 'nan'"),
        (["--confidence", "1"], "setting 'confidence' is '1'"),
    ],
)
def test_a_rule_that_is_none_is_one_message(asked, message, capsys, tmp_path):
    assert main([*asked, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
