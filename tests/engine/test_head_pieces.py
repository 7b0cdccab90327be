"""The unembedding runs in pieces of the vocabulary and some rows at a time: neither changes a
number beyond rounding. The oracle is one log-softmax over the whole vocabulary, in float64.
"""

from __future__ import annotations

import pytest
import torch

from mechcla.engine import head
from mechcla.engine.head import Scored, log_probs
from mechcla.models.hooked_model import HookedModel


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
@pytest.mark.parametrize("piece", [1, 7, 64, 319, 320, 321, 100_000])
@pytest.mark.parametrize("rows", [3, 1_024])
def test_pieces_give_what_the_whole_vocabulary_gives(
    family: str,
    piece: int,
    rows: int,
    tiny_models: dict[str, HookedModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_models[family]
    monkeypatch.setattr(head, "CPU_PIECE", piece)
    monkeypatch.setattr(head, "HEAD_ROWS", rows)
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(10, model.d_model, generator=generator)
    place = torch.arange(10).repeat_interleave(2)
    token = torch.randint(model.vocab_size, (20,), generator=generator)
    (first, second) = log_probs(
        model,
        [Scored(h[:6], place[:12], token[:12]), Scored(h[6:], place[12:] - 6, token[12:])],
    )
    with torch.inference_mode():
        whole = model.unembedding
        logits = model.final_norm(h).double() @ whole.weight.double().T
        if whole.bias is not None:
            logits += whole.bias.double()
        expected = whole.finish(logits).log_softmax(-1)[place, token]
    assert torch.cat([first, second]).double() == pytest.approx(expected, abs=1e-5)
