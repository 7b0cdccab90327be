"""The sweep as each of the peers runs it, and as mechcla does, with mechcla's savings one after
another.

Each function takes a Workload and returns [cell][item][candidate] log-likelihoods. Peers get what
helps them: rows sorted by length, tokens given ready, logits of scored positions picked before the
softmax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from analyses.benchmarks.workload import Result, Workload, batches, gather, padded, rows, scored
from mechcla import engine, scoring
from mechcla.engine.packing import collate, plan

Path = Callable[[Workload], Result]


@torch.inference_mode()
def transformer_lens(work: Workload) -> Result:
    """A loop over run_with_hooks: all candidates batched, full logits."""
    bridge, packed = work.model.bridge, work.packed()
    parts, device = batches(rows(packed), work.rows), work.model.device
    inputs = [tuple(t.to(device) for t in padded(part, work.model.pad_id)) for part in parts]
    found = []
    for cell in work.cells:
        delta, name = _delta(work, cell), f"blocks.{cell[0]}.hook_resid_post"

        def add(h: Tensor, hook: Any, delta: Tensor = delta) -> Tensor:
            return torch.cat([h[:, :1], h[:, 1:] + delta], dim=1)

        logs = []
        for part, (ids, mask, positions) in zip(parts, inputs, strict=True):
            logits = bridge.run_with_hooks(
                ids, attention_mask=mask, position_ids=positions, fwd_hooks=[(name, add)]
            )
            row, place, token = (t.to(device) for t in scored(part))
            logs.append(_log_softmax_at(logits[row, place], token))
        found.append(gather(parts, logs, packed))
    return found


@torch.inference_mode()
def transformers_hooks(work: Workload, hf_model: Any) -> Result:
    """The same with a forward hook on a plain transformers model; logits of scored places only."""
    packed, device = work.packed(), work.model.device
    parts = batches(rows(packed), work.rows)
    inputs = [tuple(t.to(device) for t in padded(part, work.model.pad_id)) for part in parts]
    found = []
    for cell in work.cells:
        delta = _delta(work, cell)

        def add(_m: Any, _a: Any, out: Any, delta: Tensor = delta) -> Any:
            h = out[0] if isinstance(out, tuple) else out
            new = torch.cat([h[:, :1], h[:, 1:] + delta], dim=1)
            return (new, *out[1:]) if isinstance(out, tuple) else new

        handle, logs = hf_model.model.layers[cell[0]].register_forward_hook(add), []
        try:
            for part, (ids, mask, positions) in zip(parts, inputs, strict=True):
                hidden = hf_model.model(
                    input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
                )[0]
                row, place, token = (t.to(device) for t in scored(part))
                logs.append(_log_softmax_at(hf_model.lm_head(hidden[row, place]), token))
        finally:
            handle.remove()
        found.append(gather(parts, logs, packed))
    return found


def lm_eval_steered(work: Workload, lm: Any) -> Result:
    """lm-eval's SteeredModel on the same requests, its vectors changed from cell to cell."""
    packed = work.packed()
    requests = [(("", ""), list(p.prompt), list(tokens)) for p in packed for tokens in p.candidates]
    found = []
    for cell in work.cells:
        delta = _delta(work, cell)

        def add(h: Tensor, delta: Tensor = delta) -> Tensor:
            return torch.cat([h[:, :1], h[:, 1:] + delta], dim=1)

        lm.hook_to_steer = {f"layers.{cell[0]}": add}
        values = iter(lm._loglikelihood_tokens(requests, disable_tqdm=True))
        found.append([tuple(float(next(values)[0]) for _ in p.candidates) for p in packed])
    return found


def scored_positions(work: Workload) -> Result:
    """First saving alone: a row per candidate, every block from 0, but only scored positions
    unembedded.
    """
    return _engine(work, share_prompt=False, resume=False, together=False)


def shared_prompts(work: Workload) -> Result:
    """And all candidates of an item in one sequence."""
    return _engine(work, share_prompt=True, resume=False, together=False)


def resume(work: Workload) -> Result:
    """And blocks below the steered one run once for all cells."""
    return _engine(work, share_prompt=True, resume=True, together=False)


def mechcla_engine(work: Workload) -> Result:
    """And the strengths of a layer in one batch: what mechcla.sweep runs."""
    return _engine(work, share_prompt=True, resume=True, together=True)


def _engine(work: Workload, share_prompt: bool, resume: bool, together: bool) -> Result:
    variants = [(work.edit(cell),) for cell in work.cells]
    # No peer measures priors.
    prepared = scoring.prepare(work.model, work.items, fast=True, prior=False)
    if not share_prompt:
        prepared = _unshared(prepared)
    if not together:
        prepared = replace(prepared, max_tokens=1)
    if resume:
        tables = dict(scoring.score_many(prepared, variants))
    else:
        tables = {i: prepared.table(prepared.edge_log_probs(v), v) for i, v in enumerate(variants)}
    return [[r.log_likelihood for r in tables[i]] for i in range(len(variants))]


def _unshared(prepared: scoring.Prepared) -> scoring.Prepared:
    packed = {
        i: p
        for batch, group in zip(prepared.batches, prepared.order, strict=True)
        for i, p in zip(group, batch.packed, strict=True)
    }
    sizes = [
        sum(len(packed[i].prompt) + len(c) for c in packed[i].candidates)
        for i in range(len(packed))
    ]
    groups = tuple(tuple(group) for group in plan(sizes, prepared.max_tokens))
    made = tuple(
        collate([packed[i] for i in g], prepared.model.pad_id, share_prompt=False) for g in groups
    )
    states = tuple(engine.start(prepared.model, batch) for batch in made)
    return replace(prepared, batches=made, order=groups, states=states)


def _delta(work: Workload, cell: tuple[int, float]) -> Tensor:
    vector, _ = work.vectors.at(work.language, cell[0])
    return (vector * cell[1]).to(work.model.device, work.model.dtype)


def _log_softmax_at(logits: Tensor, token: Tensor) -> Tensor:
    logits = logits.float()
    return (logits.gather(-1, token.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(-1)).cpu()
