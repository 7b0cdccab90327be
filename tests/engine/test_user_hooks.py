"""Hooks of the user's own see single texts; mechcla's are gone whatever ends a call, at whatever
moment.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
import warnings
from functools import partial

import pytest
import torch

import mechcla
from mechcla import Intervention, scoring
from mechcla.engine import capability
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.models import hooking
from mechcla.models.hooking import run_bare, run_hooked, users_hooks
from mechcla.models.load import load_model
from mechcla.vectors.residuals import cache_residuals
from tests.engine.families import save, tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


def item(id: str, prompt: str, *answers: str) -> Item:
    candidates = tuple(Candidate(a, "wrong" if i else "correct") for i, a in enumerate(answers))
    return Item(id, "en", "universal", "test", prompt, candidates)


ITEMS = ItemSet(
    (
        item("a", "The capital of Peru is", "Lima and far away", "Tokyo city hall", "Tokyo city"),
        item("b", "In our country we drink green", "tea", "teapots of it"),
        item("c", "Tea is", "green", "greener"),
    )
)
EDITS = [
    Intervention(torch.ones(32), layer, 1.0, site=site)
    for layer, site in enumerate(["resid_mid", "attn_out", "mlp_out", "resid_post"])
]


@pytest.fixture(scope="module", params=["llama", "granite", "lfm2"])
def folder(request, tmp_path_factory):
    return save(request.param, tmp_path_factory.mktemp(request.param), tokenizer())


@pytest.fixture
def model(folder):
    return load_model(str(folder), device="cpu")


def last(h):
    h = h.clone()
    h[:, -1] += 2.0
    return h


def mean(h):
    return h - h.mean(1, keepdim=True)


def lens(act):
    """As TransformerLens takes a hook."""
    return lambda h, hook: act(h)


def put(model, how: str, act):
    """Hook the stream behind block 1 in each way that a user has; returns how to take it away."""
    if how == "add_hook":
        model.bridge.add_hook("blocks.1.hook_resid_post", lens(act))
        return model.bridge.reset_hooks
    if how == "permanent":
        handle = model.blocks[1].hook_out.add_hook(lens(act), is_permanent=True)
        return lambda: model.blocks[1].hook_out.remove_hooks(including_permanent=True) or handle
    if how == "point":
        return model.blocks[1].hook_out.register_forward_hook(lambda m, a, h: act(h)).remove
    block = model.blocks[2]  # what enters the next block is the same stream

    def before(module, args, kwargs):
        if args:
            return (act(args[0]), *args[1:]), kwargs
        return args, kwargs | {"hidden_states": act(kwargs["hidden_states"])}

    return block.register_forward_pre_hook(partial(before), with_kwargs=True).remove


HOW = ["add_hook", "permanent", "point", "module"]


def single(model, text: str) -> torch.Tensor:
    """The bridge's own single text."""
    with torch.no_grad():
        return model.bridge(torch.tensor([model.tokenizer(text)["input_ids"]]))[0].log_softmax(-1)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("act", [last, mean])
def test_hooks_see_each_text_alone_in_scoring(act, how, model):
    plain = scoring.score(model, ITEMS, packed=True) if capability.fits(model) else None
    remove = put(model, how, act)
    try:
        with pytest.warns(UserWarning, match="hooks that are not mechcla's") as said:
            scores = mechcla.score(model, ITEMS)
        expected = []
        for one in ITEMS:
            start = len(model.tokenizer(one.prompt)["input_ids"])
            for c in one.candidates:
                text = f"{one.prompt} {c.text}"
                ids, logs = model.tokenizer(text)["input_ids"], single(model, text)
                expected.append(sum(float(logs[k - 1, ids[k]]) for k in range(start, len(ids))))
    finally:
        remove()
    found = [value for row in scores for value in row.log_likelihood]
    assert found == pytest.approx(expected, abs=1e-4)
    assert len([w for w in said if "not mechcla's" in str(w.message)]) == 1
    if plain is not None and act is mean:
        assert found != pytest.approx([v for r in plain for v in r.log_likelihood], abs=1e-2)
    assert users_hooks(model) == ()


@pytest.mark.parametrize("act", [last, mean])
def test_hooks_see_each_text_alone_in_residuals_vectors_and_answers(act, model):
    remove = put(model, "add_hook", act)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = cache_residuals(model, ITEMS)
            answers = mechcla.generate(model, list(ITEMS), max_new_tokens=4, stop=None)
        for k, one in enumerate(ITEMS):
            _, cache = model.bridge.run_with_cache(
                torch.tensor([model.tokenizer(one.prompt)["input_ids"]])
            )
            stream = torch.stack([cache[f"blocks.{n}.hook_resid_post"][0, -1] for n in range(4)])
            torch.testing.assert_close(kept["en"][k], stream, atol=1e-4, rtol=1e-4)
            ids = list(model.tokenizer(one.prompt)["input_ids"])
            start = len(ids)
            while len(ids) < start + 4 and ids[-1] != 2:
                with torch.no_grad():
                    ids.append(int(model.bridge(torch.tensor([ids]))[0, -1].argmax()))
            assert answers.rows[k].tokens == tuple(ids[start:])
    finally:
        remove()


def test_it_is_said_once_per_model_and_packed_keeps_quiet(model):
    remove = put(model, "add_hook", lambda h: h * 1.1)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            packed = mechcla.score(model, ITEMS, packed=True)
            assert not [w for w in said if "not mechcla's" in str(w.message)]
            alone = mechcla.score(model, ITEMS)
            mechcla.generate(model, list(ITEMS), max_new_tokens=1)
            cache_residuals(model, ITEMS)
        assert len([w for w in said if "not mechcla's" in str(w.message)]) == 1
        assert "blocks.1.hook_out" in str(said[-1].message) or said
    finally:
        remove()
    for a, b in zip(packed, alone, strict=True):  # a hook that looks at no position sees the same
        assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-4)


def test_no_one_elses_hooks_are_taken_for_the_users(model):
    assert users_hooks(model) == ()  # TransformerLens' own are there
    mechcla.score(model, ITEMS)
    mechcla.generate(model, list(ITEMS), max_new_tokens=2)
    assert users_hooks(model) == ()
    seen = []
    block = model.blocks[0]
    run_hooked(
        [("site", block.hook_out, lambda h: seen.append(users_hooks(model)))],
        lambda: model.bridge(torch.tensor([[1, 40, 50]])),
    )
    assert seen == [()]


def test_each_hook_of_the_users_is_named(model):
    handles = [
        model.blocks[1].register_forward_hook(lambda m, a, o: None),
        model.bridge.original_model.lm_head.register_forward_pre_hook(lambda m, a: None),
    ]
    model.bridge.add_hook("blocks.2.hook_resid_post", lambda h, hook: h)
    with model.bridge.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", lambda h, hook: h)]):
        found = users_hooks(model)
        assert len(found) == 4
        assert {"blocks.2.hook_out", "blocks.0.hook_in"} <= set(found)
    for handle in handles:
        handle.remove()
    model.bridge.reset_hooks()
    assert users_hooks(model) == ()


def test_hooks_that_changed_since_the_items_were_prepared_are_refused(model):
    prepared = scoring.prepare(model, ITEMS)
    remove = put(model, "add_hook", last)
    try:
        with pytest.raises(MechclaError, match="prepare the items again"):
            list(scoring.score_many(prepared, [()]))
    finally:
        remove()


def test_what_a_model_can_do_is_measured_without_the_users_hooks(model):
    expected = capability.probe(model) if capability.fits(model) else None
    seen = []
    remove = put(model, "add_hook", lambda h: seen.append(1) or mean(h))
    before = hooks(model)
    if expected is not None:
        assert run_bare(model, lambda: capability.probe(model)) == expected
    assert capability.pads(model)
    with pytest.raises(KeyboardInterrupt):
        run_bare(model, lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert not seen
    assert hooks(model) == before
    remove()


def hooks(model) -> list[tuple]:
    """Every hook of every module, in order, with torch's own notes about them."""
    return [
        (
            tuple(m._forward_hooks.items()),
            tuple(m._forward_pre_hooks.items()),
            tuple(m._forward_hooks_with_kwargs),
            tuple(m._forward_hooks_always_called),
            tuple(m._forward_pre_hooks_with_kwargs),
            tuple(map(id, getattr(m, "fwd_hooks", ()))),
        )
        for m in model.bridge.modules()
    ]


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"),
    reason="interrupts come to the main thread, by a timer",
)
@pytest.mark.parametrize("call", ["score", "plain", "generate", "residuals"])
def test_an_interrupt_at_any_moment_leaves_no_hook(call, model):
    runs = {
        "score": lambda: mechcla.score(model, ITEMS, EDITS[3:]),
        "plain": lambda: list(
            scoring.score_many(scoring.prepare(model, ITEMS, fast=False), [EDITS[2:]])
        ),
        "generate": lambda: mechcla.generate(model, list(ITEMS), EDITS[2:], max_new_tokens=3),
        "residuals": lambda: cache_residuals(model, ITEMS, interventions={"en": EDITS[2:]}),
    }
    run = runs[call]

    def interrupt(*_):
        raise KeyboardInterrupt

    rng, hits = random.Random(7), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = mechcla.score(model, ITEMS).rows
        run()
        before = hooks(model)
        handler = signal.signal(signal.SIGALRM, interrupt)
        try:
            begun = time.perf_counter()
            run()
            took = time.perf_counter() - begun
            for _ in range(60):
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, took))
                    run()
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    hits += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                assert hooks(model) == before
        finally:
            signal.signal(signal.SIGALRM, handler)
        assert hits > 10
        assert mechcla.score(model, ITEMS).rows == base


def test_an_interrupt_at_any_line_of_registering_and_removing_leaves_no_hook(model):
    """Line by line instead of by chance: the interrupt comes at the n-th line that runs in the file
    that hooks.
    """
    before, old = hooks(model), sys.gettrace()
    places = [("site", model.blocks[k].hook_out, lambda h: h * 2) for k in range(2)]
    places.append(("before", model.blocks[1], lambda m, a, k: None))
    files = (hooking.__file__, type(places[0][1]).add_hook.__code__.co_filename)

    def interrupted(at: int) -> bool:
        count = 0

        def trace(frame, _event, _arg):
            nonlocal count
            if frame.f_code.co_filename not in files:
                return None
            count += 1
            if count == at:
                raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            run_hooked(places, lambda: None)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(old)
        return False

    moments = 0
    while interrupted(moments + 1):
        moments += 1
        assert hooks(model) == before, moments
    assert moments > 50


def test_a_hook_whose_call_is_over_acts_no_more_even_where_it_stayed(model):
    """The second line of defence: what could not be taken off does nothing. A call's own hook is
    put back after it, as if it had stayed.
    """
    ids, point, own = torch.tensor([[1, 40, 50]]), model.blocks[1].hook_out, []

    def look():
        own.extend(h.user_hook for h in point.fwd_hooks if isinstance(h.user_hook, hooking.Hook))
        return model.bridge(ids)

    with torch.no_grad():
        base = model.bridge(ids)
        assert not torch.equal(run_hooked([("site", point, lambda h: h * 2)], look), base)
        (hook,) = own
        point.add_hook(hook)
        assert torch.equal(model.bridge(ids), base)
    assert users_hooks(model) == ()
    model.bridge.reset_hooks()
