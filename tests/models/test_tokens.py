"""Tokens are those of the folder's own tokenizer; what the tokenizer added is not steered.

The oracle is transformers alone: AutoTokenizer and AutoModelForCausalLM of the same folder, one row
per text.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    ByT5Tokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

import mechcla
from mechcla.engine.hooks import token_mask
from mechcla.engine.intervention import Intervention
from mechcla.engine.packing import collate, encode, pack
from mechcla.errors import MechclaError
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.models.tokens import start_token
from mechcla.models.wrapping import wrap_model
from mechcla.vectors.residuals import cache_residuals
from tests.conftest import save_tiny, tiny_tokenizer, universal

ROLES = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}


def byte_pairs(template: str | None, **roles: str | bool) -> PreTrainedTokenizerFast:
    """The tests' byte-level BPE with other special tokens around a text, and other roles."""
    backend = tiny_tokenizer().backend_tokenizer
    names = [("<pad>", 0), ("<bos>", 1), ("<eos>", 2)]
    backend.post_processor = TemplateProcessing(
        single=template or "$A", special_tokens=names if template else []
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def far_pad() -> PreTrainedTokenizerFast:
    tokenizer = byte_pairs("<bos> $A", bos_token="<bos>", eos_token="<eos>")
    tokenizer.add_special_tokens({"pad_token": "<far>"})
    assert tokenizer.pad_token_id == 320  # the models have embeddings for 0 to 319
    return tokenizer


# by name: the family, the tokenizer, and how many tokens it puts before and behind a text
KINDS = {
    "adds no BOS": ("gpt2", lambda: byte_pairs(None, **ROLES, add_bos_token=False), 0, 0),
    "BOS and EOS": ("llama", lambda: byte_pairs("<bos> $A <eos>", **ROLES), 1, 1),
    "no BOS, PAD, EOS": ("llama", lambda: byte_pairs(None), 0, 0),
    "pad beyond the embedding": ("llama", far_pad, 1, 0),
    "EOS but no BOS, as Qwen 2.5": (
        "qwen3",
        lambda: byte_pairs(None, eos_token="<eos>", pad_token="<pad>"),
        0,
        0,
    ),
    "CLS and SEP": (
        "llama",
        lambda: byte_pairs(
            "<bos> $A <eos>", cls_token="<bos>", sep_token="<eos>", pad_token="<pad>"
        ),
        1,
        1,
    ),
    "two in front": ("llama", lambda: byte_pairs("<pad> <bos> $A", **ROLES), 2, 0),
    "python only": ("llama", ByT5Tokenizer, 0, 1),
}


@pytest.fixture(scope="module", params=KINDS)
def case(request, tmp_path_factory) -> tuple[Path, int, int]:
    family, make, before, behind = KINDS[request.param]
    folder = tmp_path_factory.mktemp("tokens")
    tokenizer = make()
    save_tiny(family, folder, **({"vocab_size": 400} if make is ByT5Tokenizer else {}))
    for old in folder.glob("*token*"):
        old.unlink()
    tokenizer.save_pretrained(folder)
    return folder, before, behind


@pytest.fixture(scope="module")
def model(case) -> HookedModel:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return load_model(str(case[0]), device="cpu")


class Oracle:
    """transformers on the folder's own tokens."""

    def __init__(self, folder: Path, behind: int) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager"
        ).eval()
        self.behind = behind

    def ids(self, text: str) -> list[int]:
        ids = list(self.tokenizer(text)["input_ids"])
        return ids[: len(ids) - self.behind]

    @torch.inference_mode()
    def log_likelihood(self, prompt: list[int], whole: list[int]) -> float:
        assert whole[: len(prompt)] == prompt
        logs = self.model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        return sum(float(logs[i - 1, whole[i]]) for i in range(len(prompt), len(whole)))

    @torch.inference_mode()
    def last(self, text: str) -> torch.Tensor:
        """After every block but the last, whose state transformers gives behind the final norm."""
        states = self.model(torch.tensor([self.ids(text)]), output_hidden_states=True).hidden_states
        return torch.stack([state[0, -1] for state in states[1:-1]])


@pytest.fixture(scope="module")
def oracle(case) -> Oracle:
    return Oracle(case[0], case[2])


def test_encode_gives_the_folders_tokens_without_what_is_put_behind(case, model, oracle):
    _, before, behind = case
    own = oracle.tokenizer("Peru is")["input_ids"]
    bare = oracle.tokenizer("Peru is", add_special_tokens=False)["input_ids"]
    assert len(own) == before + len(bare) + behind  # the case is what its name says
    assert encode("Peru is", model.tokenizer) == own[: len(own) - behind]


def test_scores_are_transformers_on_the_folders_tokens(model, oracle, small_items):
    items = small_items.language("es").test
    for row, item in zip(mechcla.score(model, items), items, strict=True):
        prompt = oracle.ids(item.prompt)
        for candidate, found in zip(item.candidates, row.log_likelihood, strict=True):
            whole = oracle.ids(item.prompt + item.separator + candidate.text)
            assert found == pytest.approx(oracle.log_likelihood(prompt, whole), abs=1e-4)


def test_generated_tokens_are_transformers(model, oracle, small_items):
    questions = small_items.language("en").test
    answers = mechcla.generate(model, questions, stop=None, max_new_tokens=5)
    for answer, question in zip(answers, questions, strict=True):
        ids = torch.tensor([oracle.ids(question.prompt)])
        wanted = oracle.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=5
        )
        assert list(answer.tokens) == wanted[0, ids.shape[1] :].tolist()


def test_residuals_and_en_vectors_are_transformers_hidden_states(model, oracle, small_items):
    dev = small_items.universal.dev
    found = cache_residuals(model, dev)
    for language in ("en", "es"):
        wanted = torch.stack([oracle.last(i.prompt) for i in dev.language(language)])
        assert torch.allclose(found[language][:, :-1], wanted, atol=1e-4)
    sides = [
        torch.stack([oracle.last(i.prompt) for i in dev.language(lang)]).mean(0)
        for lang in ("en", "es")
    ]
    en = mechcla.en_vectors(model, dev)["es"]
    assert torch.allclose(en[:-1], sides[0] - sides[1], atol=1e-4)


def test_what_the_tokenizer_put_in_front_is_not_steered(case, model, oracle, small_items):
    _, before, _ = case
    item = small_items.language("es").test.items[0]
    layout = collate([pack(item, model.tokenizer)], model.pad_id).layout
    n = len(oracle.ids(item.prompt))
    assert token_mask(layout, "prompt")[0, :n].tolist() == [i >= before for i in range(n)]
    assert token_mask(layout, "last_prompt_token")[0].nonzero().flatten().tolist() == [n - 1]


def test_load_model_leaves_the_tokenizer_as_the_folder_has_it(case, model, oracle):
    own = oracle.tokenizer
    for role in ("bos_token", "eos_token", "pad_token", "unk_token"):
        assert getattr(model.tokenizer, role) == getattr(own, role)
    assert model.tokenizer.padding_side == own.padding_side
    assert len(model.tokenizer) == len(own)
    assert model.bridge.tokenizer is not model.tokenizer


def test_priors_begin_with_what_begins_a_text(case, model, oracle, small_items):
    items = small_items.language("en").test
    row = mechcla.score(model, items)[0]
    _, before, _ = case
    own = oracle.tokenizer
    first = (
        own("a")["input_ids"][before - 1]
        if before
        else own.bos_token_id
        if own.bos_token_id is not None
        else own.eos_token_id
    )
    assert start_token(model.tokenizer, model.vocab_size) == first
    if first is None:
        assert row.prior == ()
        return
    prompt = oracle.ids(items.items[0].prompt)
    for candidate, found in zip(items.items[0].candidates, row.prior, strict=True):
        answer = oracle.ids(items.items[0].prompt + " " + candidate.text)[len(prompt) :]
        assert found == pytest.approx(oracle.log_likelihood([first], [first, *answer]), abs=1e-4)


def words(path: Path) -> HookedModel:
    """A llama whose tokenizer knows five words; <unk> is flagged special, as in most tokenizers."""
    vocabulary = {w: i for i, w in enumerate(["<unk>", "<s>", "is", "a", "b", "c"])}
    backend = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    save_tiny("llama", path)
    for old in path.glob("*token*"):
        old.unlink()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<s>"
    ).save_pretrained(path)
    return load_model(str(path), device="cpu")


def steered_sum(folder: Path, whole: list[int], n: int, where: list[int], edit: Intervention):
    """Log-likelihood after the first n tokens, the edit's step added by hand at these places."""
    hf_model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()

    def add(_module, _args, output):
        hidden = output[0] if isinstance(output, tuple) else output
        hidden[:, where] += edit.strength * edit.vector
        return output

    handle = hf_model.model.layers[edit.layer].register_forward_hook(add)
    with torch.inference_mode():
        logs = hf_model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
    handle.remove()
    return sum(float(logs[i - 1, whole[i]]) for i in range(n, len(whole)))


def test_an_unknown_word_in_front_is_the_users(tmp_path):
    model = words(tmp_path)
    item = universal("u", "xx", "ქართული ენა is", "a", "b")
    edit = Intervention(torch.full((32,), 0.7), 1, 1.5, positions="prompt")
    row = mechcla.score(model, ItemSet((item,)), edit)[0]
    for k, answer in enumerate((3, 4)):
        wanted = steered_sum(tmp_path, [1, 0, 0, 2, answer], 4, [1, 2, 3], edit)
        assert row.log_likelihood[k] == pytest.approx(wanted, abs=1e-4)


def test_special_tokens_that_the_user_writes_are_the_users(tmp_path):
    model = words(tmp_path)
    item = universal("u", "xx", "<s> b is", "a", "b")
    packed = pack(item, model.tokenizer)
    assert packed.prompt == (1, 1, 4, 2)
    mask = token_mask(collate([packed], 0).layout, "prompt")[0]
    assert mask.tolist() == [False, True, True, True]


def test_a_token_without_an_embedding_is_refused_by_name(tmp_path):
    save_tiny("llama", tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["Zürich"])
    tokenizer.save_pretrained(tmp_path)
    model = load_model(str(tmp_path), device="cpu")
    item = Item(
        "z",
        "de",
        "universal",
        "test",
        "Bern is",
        (Candidate("Lima", "correct"), Candidate("Zürich", "wrong")),
    )
    with pytest.raises(MechclaError, match=r"item 'z' \(de\).*'Zürich' with id 320.*0 to 319"):
        mechcla.score(model, ItemSet((item,)))
    with pytest.raises(MechclaError, match=r"question 'y'.*'Zürich' with id 320"):
        mechcla.generate(model, [universal("y", "de", "Zürich is", "a", "b")])
    with pytest.raises(MechclaError, match=r"prompt 'Zürich is'.*id 320"):
        cache_residuals(model, ItemSet((universal("y", "de", "Zürich is", "a", "b"),)))


def boot(folder: Path):
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge.boot_transformers(
        str(folder),
        hf_model=AutoModelForCausalLM.from_pretrained(folder).eval(),
        tokenizer=AutoTokenizer.from_pretrained(folder),
    )


def test_a_bridge_is_scored_on_the_tokens_that_it_shows_with_a_warning(tmp_path):
    save_tiny("gpt2", tmp_path)
    byte_pairs(None, **ROLES, add_bos_token=False).save_pretrained(tmp_path)
    bridge = boot(tmp_path)
    with pytest.warns(UserWarning, match=r"not those of its tokenizer's own folder"):
        model = wrap_model(bridge)
    item = universal("p", "en", "The capital of Peru is", "Lima", "Tokyo")
    oracle = Oracle(tmp_path, 0)
    row = mechcla.score(model, ItemSet((item,)))[0]
    shown = bridge.to_tokens(item.prompt)[0].tolist()
    assert shown == [1, *oracle.ids(item.prompt)]
    for candidate, found in zip(item.candidates, row.log_likelihood, strict=True):
        whole = bridge.to_tokens(f"{item.prompt} {candidate.text}")[0].tolist()
        assert found == pytest.approx(oracle.log_likelihood(shown, whole), abs=1e-4)
    bridge.cfg.default_prepend_bos = False
    with pytest.warns(UserWarning, match=r"leaves out '<bos>' in front"):
        model = wrap_model(bridge)
    assert encode(item.prompt, model.tokenizer) == oracle.ids(item.prompt)


def test_a_bridge_that_prepends_what_its_tokenizer_does_not(tmp_path):
    """Without a BOS, TransformerLens names EOS as BOS and puts it in front of every text."""
    save_tiny("llama", tmp_path)
    byte_pairs(None, eos_token="<eos>", pad_token="<pad>").save_pretrained(tmp_path)
    bridge = boot(tmp_path)
    with pytest.warns(UserWarning, match=r"puts '<eos>' in front where bridge.tokenizer does"):
        model = wrap_model(bridge)
    text = "The capital of Peru is"
    assert encode(text, model.tokenizer) == bridge.to_tokens(text)[0].tolist()
    assert encode(text, model.tokenizer)[0] == 2


def test_a_bridge_whose_bos_has_no_embedding_can_be_scored(tmp_path, small_items):
    save_tiny("llama", tmp_path)
    byte_pairs(None).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="no embedding"):
        model = wrap_model(boot(tmp_path))
    oracle = Oracle(tmp_path, 0)
    item = small_items.language("en").test.items[0]
    row = mechcla.score(model, ItemSet((item,)), prior=False)[0]
    prompt = oracle.ids(item.prompt)
    whole = oracle.ids(f"{item.prompt} {item.candidates[0].text}")
    assert row.log_likelihood[0] == pytest.approx(oracle.log_likelihood(prompt, whole), abs=1e-4)


def test_an_ordinary_bridge_is_wrapped_without_a_word(tiny_folders, case, model):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        wrapped = wrap_model(boot(tiny_folders["llama"]))
        again = wrap_model(model.bridge)  # what load_model made shows the folder's tokens too
    assert encode("Peru", wrapped.tokenizer) == tiny_tokenizer()("Peru")["input_ids"]
    assert encode("Peru is", again.tokenizer) == encode("Peru is", model.tokenizer)


def test_the_digest_holds_roles_and_not_what_the_last_call_padded(tiny_folders):
    model, other = (load_model(str(tiny_folders["llama"]), device="cpu") for _ in range(2))
    other.tokenizer(["a", "The capital"], padding=True, truncation=True, max_length=3)
    assert model.digest == other.digest
    third = load_model(str(tiny_folders["llama"]), device="cpu")
    third.tokenizer.bos_token = "<eos>"
    assert third.digest != model.digest
    fourth = load_model(str(tiny_folders["llama"]), device="cpu")
    before = fourth.digest
    fourth.tokenizer.chat_template = "{{ messages[0].content }}"
    assert fourth.digest != before == model.digest
