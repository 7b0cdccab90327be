"""--dry-run counts a beginning that prompts share as the engine runs it: once, wherever no edit
reaches it. The oracle: calls of the blocks and of the unembedding, counted while the engine runs.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from analyses.benchmarks.counting import count
from mechcla.engine import beginnings
from mechcla.engine.capability import fits, shares
from mechcla.models.hooked_model import HookedModel
from mechcla.scoring.prepared import prepare
from mechcla.scoring.scorer import score_many
from mechcla.steering.method import Method
from mechcla.sweep.cells import UNSTEERED, Job
from mechcla.sweep.config import make
from mechcla.sweep.held import held_settings, item_settings
from mechcla.sweep.price import Shape, vectors_work, work_of
from mechcla.sweep.ready import Ready, make_ready
from mechcla.sweep.rehearsal import rehearse
from mechcla.vectors.extract import extract
from tests.conftest import tiny_items
from tests.engine.test_beginnings import TEMPLATE

PROMPT = Method(en_layer=1, en_strength=0.3)
BEHIND = PROMPT.at_positions({"EN": "last_and_answer"})
BOTH = Method(en_layer=0, en_strength=0.3, loc_layer=2, loc_strength=2.0)


@pytest.fixture
def ready(tiny: HookedModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ready]:
    monkeypatch.setattr(beginnings, "SHORTEST", 6)
    monkeypatch.setattr(beginnings, "LEAST_SAVED", 8)
    tiny.tokenizer.chat_template = TEMPLATE
    items = tiny_items()
    given = {"out": "runs/none", "coarse_step": 2, "chat": True, "system_prompt": "Few words."}
    yield make_ready(
        make({**held_settings(tiny, {}), **item_settings(items), **given}), tiny, items
    )
    tiny.tokenizer.chat_template = None


@pytest.mark.parametrize("kind", ["universal", "cultural"])
@pytest.mark.parametrize(
    "methods",
    [[UNSTEERED], [PROMPT], [BEHIND], [UNSTEERED, PROMPT, BEHIND, BOTH]],
    ids=["unsteered", "prompt", "behind", "all"],
)
def test_blocks_and_positions_are_counted_as_the_engine_runs_them(
    ready: Ready, kind: str, methods: list[Method]
) -> None:
    sweep, model = rehearse(ready), ready.model
    assert fits(model)  # measured before anything is counted
    assert shares(model)
    jobs = [Job(m, "es", kind, "dev") for m in methods]
    shape = Shape.of(sweep, jobs[0])
    assert shape.begun
    assert shape.shorter
    assert 0 < shape.shorter.begun < shape.begun
    said = work_of(sweep, jobs, shape, set())
    full = extract(model, ready.items.dev, chat=ready.config.chat_form)
    manner, chat = ready.config.manner, ready.config.chat_form
    edits = [job.method.interventions(full, "es", manner) for job in jobs]

    def run() -> None:
        items = shape.items
        list(score_many(prepare(model, items, fast=True, prior=False, chat=chat), edits))

    found = count(run, model.blocks, model.unembedding.weight)
    assert said.block_tokens == found.block_tokens
    assert said.rows == found.unembedded


def test_candidates_without_a_prompt_are_counted_as_they_run(ready: Ready) -> None:
    sweep, model, chat = rehearse(ready), ready.model, ready.config.chat_form
    job = Job(UNSTEERED, "es", "cultural", "test")
    shape = Shape.of(sweep, job)
    assert fits(model)
    assert shares(model)

    def run() -> None:
        list(score_many(prepare(model, shape.items, fast=True, chat=chat), [()]))

    found = count(run, model.blocks, model.unembedding.weight)
    said = work_of(sweep, [job], shape, set())
    assert said.block_tokens == found.block_tokens
    assert said.passes == found.blocks
    assert said.rows == found.unembedded


def test_a_pass_is_recorded_once_for_all_cells_of_the_same_items(ready: Ready) -> None:
    sweep = rehearse(ready)
    first, second = (Job(m, "es", "universal", "dev") for m in (PROMPT, BEHIND))
    shape, recorded = Shape.of(sweep, first), set[Shape]()
    apart = work_of(sweep, [first], shape, recorded)
    apart += work_of(sweep, [second], shape, recorded)
    together = work_of(sweep, [first, second], shape, set())
    assert recorded == {shape, shape.shorter}
    assert apart.block_tokens == together.block_tokens


def test_the_prompts_of_vectors_are_counted_as_they_run(ready: Ready) -> None:
    chat = ready.config.chat_form

    def run() -> None:
        extract(ready.model, ready.items.dev, controls=["us", "shuffled"], chat=chat)

    assert shares(ready.model)
    found = count(run, ready.model.blocks, ready.model.unembedding.weight)
    said = vectors_work(ready)
    assert said.block_tokens == found.block_tokens
    assert said.passes == found.blocks
