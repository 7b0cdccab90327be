"""Two benchmarks in one sweep: Global-MMLU's facts and BLEnD's cultures, joined, written down and
run.
"""

from __future__ import annotations

import csv
from dataclasses import replace

import mechcla
from mechcla.items.item_set import ItemSet
from mechcla.sweep.__main__ import main
from tests.conftest import save_tiny
from tests.sources import blend_folder, global_mmlu_folder


def test_global_mmlu_and_blend_make_a_sweep(tmp_path, capsys):
    """The items are joined as docs/sources.md says; the run has the United States as a control, for
    BLEnD's items name them.
    """
    facts = global_mmlu_folder.save(
        tmp_path / "mmlu", global_mmlu_folder.parallel("en", "es", "ko", n=12)
    )
    cultures = blend_folder.write(tmp_path / "blend")
    asked = mechcla.load_items("blend", regions=["US", "ES", "KR"], path=cultures)
    # The small folder's ids fall to test.
    dev = ItemSet(tuple(replace(i, id=f"{i.id}-again", split="dev") for i in asked.test))
    both = (
        mechcla.load_items("global_mmlu", languages=["es", "ko"], path=facts, subset="all", shots=0)
        + asked
        + dev
    )
    both.to_jsonl(tmp_path / "both.jsonl")
    assert mechcla.load_items(tmp_path / "both.jsonl") == both
    model, out = (
        save_tiny("gpt_neox", tmp_path / "model", max_position_embeddings=512),
        tmp_path / "run",
    )
    command = [
        "--model",
        str(model),
        "--items",
        str(tmp_path / "both.jsonl"),
        "--device",
        "cpu",
        "--layers",
        "0,2",
        "--no-restore",
        "--no-figures",
        "--resamples",
        "100",
    ]
    assert main([*command, "--out", str(out)]) == 0, capsys.readouterr().err
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {r["language"] for r in rows} >= {"es", "ko", "all"}
    assert {r["method"] for r in rows} >= {
        "unsteered",
        "EN",
        "LOC",
        "SUR",
        "explicit",
        "LOC us_country",
        "explicit us_country",
    }
    assert (out / "contrast.csv").stat().st_size > 0
