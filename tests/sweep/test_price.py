"""--dry-run: counted as the engine runs, searched as the run searches; nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyses.benchmarks.counting import count
from mechcla.engine.capability import fits
from mechcla.models.hooked_model import HookedModel
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.steering.method import Method
from mechcla.sweep.__main__ import main
from mechcla.sweep.cells import UNSTEERED, Job
from mechcla.sweep.config import make
from mechcla.sweep.held import held_settings, item_settings
from mechcla.sweep.price import Shape, Work, clock, price_of, vectors_work, work_of
from mechcla.sweep.ready import Ready, make_ready
from mechcla.sweep.rehearsal import rehearse
from mechcla.sweep.work import busiest
from mechcla.vectors.extract import extract
from tests.sweep.test_merge import two_languages


@pytest.fixture(scope="module")
def ready(tiny: HookedModel) -> Ready:
    items = two_languages()
    given = {
        **held_settings(tiny, {}),
        **item_settings(items),
        "out": "runs/none",
        "coarse_step": 2,
    }
    return make_ready(make(given), tiny, items)


METHODS = (
    UNSTEERED,
    Method(en_layer=0, en_strength=0.3),
    Method(en_layer=2, en_strength=0.3),
    Method(en_layer=2, en_strength=0.6),
    Method(loc_layer=1, loc_strength=2.0),
    Method(en_layer=0, en_strength=0.3, loc_layer=2, loc_strength=2.0),
    Method(en_layer=0, en_strength=0.3, loc_layer=3, loc_strength=2.0),
)


@pytest.mark.parametrize("kind", ["universal", "cultural"])
def test_blocks_and_positions_are_counted_as_the_engine_runs_them(ready: Ready, kind: str) -> None:
    """The oracle: calls of the blocks and of the unembedding, counted while the engine runs."""
    sweep, model = rehearse(ready), ready.model
    assert fits(model)  # measured before anything is counted
    jobs = [Job(m, "es", kind, "dev") for m in METHODS]
    shape = Shape.of(sweep, jobs[0])
    said = work_of(sweep, jobs, shape, set())
    full = extract(model, ready.items.dev)
    edits = [job.method.interventions(full, "es") for job in jobs]

    def run() -> None:
        list(score_many(prepare(model, shape.items, fast=True, prior=False), edits))

    found = count(run, model.blocks, model.unembedding.weight)
    assert said.block_tokens == found.block_tokens
    assert said.rows == found.unembedded
    assert said.cells == len(METHODS)


def test_the_prompts_of_vectors_are_counted_as_they_run(ready: Ready) -> None:
    def run() -> None:
        extract(ready.model, ready.items.dev, controls=["us", "shuffled"], packed=True)

    found = count(run, ready.model.blocks, ready.model.unembedding.weight)
    assert vectors_work(ready).block_tokens == found.block_tokens


def test_the_rehearsal_tries_what_the_search_tries(ready: Ready) -> None:
    sweep = rehearse(ready)
    dev = [j for j in sweep.counted if j.split == "dev"]
    tried = {j.method.name for j in dev if j.language == "pt"}
    coarse = {f"EN{k}x0.3" for k in (1, 3)} | {f"LOC{k}x{s}" for k in (1, 3) for s in (2, 4)}
    fine = {"EN0x0.3", "EN2x0.3", "LOC2x2", "LOC2x4"}  # beside the guessed best ones, 1 and 3
    assert coarse | fine | {"unsteered"} <= tried
    assert "LOC0x2" not in tried
    assert any(j.method.family == "SUR" for j in dev)
    assert any(j.method.family == "EN+restore" for j in dev)
    test = {(j.method.family, j.method.arm, j.prompt) for j in sweep.counted if j.split == "test"}
    assert {("SUR", "", "implicit"), ("LOC", "other_country", "implicit")} <= test
    assert ("unsteered", "", "us") in test


def test_the_price_is_said_and_nothing_is_written(ready: Ready, tmp_path: Path) -> None:
    price = price_of(ready, workers=2)
    assert [s.name for s in price.stages] == ["vectors", "dev", "test", "tables and figures"]
    assert 0 < price.on_workers < price.seconds
    assert price.memory > 2**29
    assert price.rows().where(stage="dev")[0]["cells"] == price.stages[1].work.cells
    assert "busiest of 2 workers" in str(price)
    assert not Path("runs/none").exists()


def test_the_busiest_worker_has_the_cells_of_what_it_takes(ready: Ready) -> None:
    """Dev goes out by language here: of as many workers as languages each takes one."""
    calls = [jobs for jobs in rehearse(ready).calls if jobs[0].split == "dev"]
    cells = {k: sum(len(j) for j in calls if j[0].language == k) for k in {"es", "pt", "en"}}
    cells = {k: n for k, n in cells.items() if n}
    many, one = price_of(ready, workers=len(cells)), price_of(ready, workers=1)
    dev = many.stages[1]
    assert len(cells) > 1
    assert dev.busiest.cells in cells.values()
    assert dev.work.cells == sum(cells.values())
    assert dev.busiest.tokens < dev.work.tokens
    assert dev.busiest_flops < dev.flops
    row = many.rows().where(stage="dev")[0]
    assert (row["busiest_cells"], row["busiest_tokens"]) == (dev.busiest.cells, dev.busiest.tokens)
    assert f"{dev.busiest.tokens:,}" in str(many).partition("busiest of")[2]
    assert all(s.busiest == s.work for s in one.stages)
    # The same pieces, summed in another order.
    assert [s.on_workers for s in one.stages] == pytest.approx([s.seconds for s in one.stages])
    assert "busiest" not in str(one)


def test_the_command_writes_nothing_and_refuses_what_the_run_refuses(
    tiny_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_languages().to_jsonl(tmp_path / "items.jsonl")
    asked = ["--model", str(tiny_folders["llama"]), "--items", str(tmp_path / "items.jsonl")]
    asked += ["--device", "cpu", "--out", str(tmp_path / "run"), "--dry-run"]
    assert main([*asked, "--layers", "0,2"]) == 0
    assert "memory per process about" in capsys.readouterr().out
    assert main([*asked, "--layers", "0,9"]) == 2
    assert "layer 9" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["items.jsonl"]


def test_work_is_shared_out_and_said_for_people() -> None:
    assert busiest([4.0, 3.0, 3.0, 1.0], 2) == [1, 2]
    assert busiest([1.0, 4.0], 8) == [1]
    assert busiest([1.0, 4.0], 1) == [1, 0]
    assert [clock(s) for s in (3.2, 119.4, 600.0, 3599.0, 4000.0)] == [
        "3 s",
        "119 s",
        "10 min",
        "1 h 00 min",
        "1 h 07 min",
    ]
    work = Work(cells=1)
    work += Work(cells=2, rows=3)
    assert (work.cells, work.rows) == (3, 3)
