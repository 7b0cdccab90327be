"""Every script of analyses/ runs and leaves its table and its figure."""

from __future__ import annotations

import csv
import runpy
import sys

import pytest

import mechcla
from mechcla.sweep.__main__ import main
from tests.conftest import save_tiny
from tests.slow import others_slow

FROM_A_RUN = ("fig1_examples", "fig2_tradeoff", "fig5_surgical", "controls")
FROM_A_MODEL = {
    "fig3_convergence": ("fig3_convergence", "fig3_pca"),
    "fig4_layers": ("fig4_perpendicularity",),
    "reliability": ("reliability", "shared_directions"),
    "cka_retrieval": ("cka_retrieval",),
    "subspaces": ("subspaces",),
    "logit_lens": ("logit_lens",),
    "probes": ("probes", "probes_country"),
    "contrast": ("contrast",),
    "cue_wording": ("cue_wording",),
    "changed_answers": ("changed_answers",),
    "configure_cost": ("configure_cost",),
    "recipes": ("recipes",),
    "two_models": ("two_models",),
}

# What the claim of a test does not need: a search over 12 dev items twice, 15 pairs per layer.
SMALLER = {
    "configure_cost": ("--dev-items", "3", "--languages", "es"),
    "contrast": ("--draws", "2"),
}


def run_script(name: str, monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_module(f"analyses.{name}", run_name="__main__")


def check(folder, name: str) -> list[dict[str, str]]:
    if name not in ("configure_cost", "cue_wording", "changed_answers"):  # a table alone
        assert (folder / f"{name}.png").stat().st_size > 5000
        assert "<path" in (folder / f"{name}.svg").read_text()
    with (folder / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    return rows


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A tiny model whose window holds the demo items' bytes."""
    return str(save_tiny("gpt_neox", tmp_path_factory.mktemp("wide"), max_position_embeddings=512))


SLOW = {"configure_cost", "probes", "contrast", "recipes", "two_models"}


@pytest.mark.parametrize("name", others_slow(FROM_A_MODEL, set(FROM_A_MODEL) - SLOW))
def test_scripts_that_take_a_model(name, wide, tmp_path, monkeypatch):
    run_script(
        name,
        monkeypatch,
        "--model",
        wide,
        "--languages",
        "es,el",
        "--questions",
        "10",
        "--resamples",
        "5",
        "--out",
        str(tmp_path),
        *SMALLER.get(name, ()),
    )
    for stem in FROM_A_MODEL[name]:
        rows = check(tmp_path, stem)
        if "low" in rows[0] and "value" in rows[0]:
            assert all(float(r["low"]) <= float(r["high"]) for r in rows)


def test_items_of_a_file_and_of_a_run(wide, small_items, tmp_path, monkeypatch):
    small_items.to_jsonl(tmp_path / "items.jsonl")  # as in a run folder
    for items in (tmp_path, tmp_path / "items.jsonl"):
        run_script(
            "fig3_convergence",
            monkeypatch,
            "--model",
            wide,
            "--items",
            str(items),
            "--resamples",
            "5",
            "--out",
            str(tmp_path),
        )
        assert {r["language"] for r in check(tmp_path, "fig3_pca")} == set(small_items.languages)
    small_items.universal.to_jsonl(tmp_path / "facts.jsonl")
    with pytest.raises(mechcla.MechclaError, match="has no cultural dev questions in en"):
        run_script(
            "fig4_layers",
            monkeypatch,
            "--model",
            wide,
            "--items",
            str(tmp_path / "facts.jsonl"),
            "--out",
            str(tmp_path),
        )
    with pytest.raises(mechcla.MechclaError, match="compared on them only"):
        run_script(
            "cue_wording",
            monkeypatch,
            "--items",
            str(tmp_path / "items.jsonl"),
            "--out",
            str(tmp_path),
        )


def test_scripts_that_take_a_run(tiny_folders, small_items, tmp_path, monkeypatch):
    small_items.to_jsonl(tmp_path / "items.jsonl")
    run = tmp_path / "run"
    assert (
        main(
            [
                "--model",
                str(tiny_folders["llama"]),
                "--items",
                str(tmp_path / "items.jsonl"),
                "--device",
                "cpu",
                "--layers",
                "0,2",
                "--no-restore",
                "--resamples",
                "100",
                "--out",
                str(run),
            ]
        )
        == 0
    )
    for name in FROM_A_RUN:
        run_script(name, monkeypatch, str(run), "--out", str(tmp_path))
        check(tmp_path, name)
    with pytest.raises(mechcla.MechclaError, match=r"make the run first: python -m mechcla\.sweep"):
        run_script("fig2_tradeoff", monkeypatch, str(tmp_path / "nothing"), "--out", str(tmp_path))
