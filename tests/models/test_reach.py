"""No room but models/ knows what is inside a HookedModel, and HookedModel's methods are exact.

The oracle of the methods is transformers on the folder's own weights.
"""

import ast
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import mechcla

PACKAGE = Path(mechcla.__file__).parent
# What TransformerLens' bridge and a block of it are reached by.
INSIDE = {"bridge", "original_model", "original_component", "hook_dict", "ln_final", "unembed"}
# From transformers, by module: what stops decoding at a text, and what trains a model it is given.
ALLOWED = {
    "transformers": {
        "StopStringCriteria",
        "Trainer",
        "TrainerCallback",
        "TrainingArguments",
        "get_scheduler",
    },
    "transformers.trainer_callback": {"PrinterCallback"},
}


def reaches(source):
    """(line, what) of each place that reaches into a model, or imports a library of models."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            private = isinstance(node.value, ast.Name) and node.value.id in ("model", "hooked")
            if node.attr in INSIDE or (private and node.attr.startswith("_")):
                found.append((node.lineno, node.attr))
        elif isinstance(node, ast.Import):
            named = {name.name.split(".")[0] for name in node.names}
            found += [
                (node.lineno, n) for n in sorted(named & {"transformers", "transformer_lens"})
            ]
        elif isinstance(node, ast.ImportFrom):
            root = (node.module or "").split(".")[0]
            names = {name.name for name in node.names}
            if root == "transformer_lens":
                found.append((node.lineno, root))
            elif root == "transformers" and names - ALLOWED.get(node.module or "", set()):
                found.append((node.lineno, f"{node.module} {sorted(names)}"))
    return found


def test_no_other_room_reaches_into_a_model():
    files = [p for p in PACKAGE.rglob("*.py") if PACKAGE / "models" not in p.parents]
    assert len(files) > 100
    found = {str(p.relative_to(PACKAGE)): reaches(p.read_text("utf-8")) for p in files}
    assert not {path: places for path, places in found.items() if places}


@pytest.mark.parametrize(
    "line",
    [
        "x = model.bridge",
        "x = self.hooked.bridge.original_model.lm_head",
        "x = block.original_component.forward",
        "x = model._text_config",
        "from transformer_lens import HookedTransformer",
        "import transformer_lens.utils",
        "import transformers",
        "from transformers import AutoModelForCausalLM",
        "from transformers.models.gemma3 import Gemma3ForCausalLM",
        "def f():\n    from transformers import StopStringCriteria, PreTrainedModel",
    ],
)
def test_what_reaches_is_found(line):
    assert reaches(line)


def test_what_does_not_reach_is_not_found():
    assert not reaches(
        "from transformers import StopStringCriteria\nx = model.unembedding.weight\n_private = 1"
    )


def ids_of(model):
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, model.vocab_size, (2, 7), generator=generator)


@pytest.fixture(params=["gemma3_text", "gpt2", "llama"])
def both(request, tiny_models, tiny_folders):
    model = tiny_models[request.param]
    folder = tiny_folders[request.param]
    own = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    return model, own


@torch.inference_mode()
def test_logits_are_transformers(both):
    model, own = both
    ids = ids_of(model)
    mask, positions = torch.ones_like(ids), torch.arange(7).repeat(2, 1)
    expected = own(input_ids=ids).logits
    torch.testing.assert_close(model.logits(ids, mask, positions), expected, atol=1e-4, rtol=1e-4)
    past = None
    for begin, end in ((0, 4), (4, 5), (5, 7)):
        found, past = model.next_logits(
            ids[:, begin:end], mask[:, :end], positions[:, begin:end], past
        )
        torch.testing.assert_close(found, expected[:, end - 1], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_norm_and_unembedding_of_the_last_block_are_transformers_logits(both):
    model, own = both
    ids, kept = ids_of(model), []
    point = model.hook_point(model.n_layers - 1, "resid_post")
    mechcla.models.hooking.run_hooked(
        [("site", point, kept.append)],
        lambda: model.run_decoder(ids, torch.ones_like(ids), torch.arange(7).repeat(2, 1)),
    )
    head = model.unembedding
    found = head.finish(model.final_norm(kept[0].reshape(14, -1)) @ head.weight.T)
    found = found if head.bias is None else found + head.bias
    expected = own(input_ids=ids).logits.reshape(14, -1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.embed(ids), own.get_input_embeddings()(ids))
    assert model.vocab_size == own.get_input_embeddings().weight.shape[0]


def test_end_ids_are_those_of_the_generation_config(both):
    model, own = both
    eos = own.generation_config.eos_token_id
    expected = set() if eos is None else {eos} if isinstance(eos, int) else set(eos)
    assert model.end_ids == expected
    assert model.generation_config.to_dict() == own.generation_config.to_dict()
