"""The tokenizer of a GGUF model: transformers' conversion, mended and held against the file.

A file names a way to split texts (`tokenizer.ggml.pre`) and says whether a BOS is added. What
transformers leaves out of these is added; where they still differ, one message says so. Source of
the meanings: llama.cpp's llama-vocab.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mechcla.errors import MechclaError
from mechcla.models.checkpoint import listed
from mechcla.models.gguf_header import Header

# A word of the vocabulary is one token, whatever its merges say, and a BOS is added if the file
# does not say otherwise.
WHOLE_WORDS = {
    *("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"),
    *("jina-v5-nano", "tekken"),
}
DIGITS_ALONE = {
    *("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
}
# Split as GPT-2 does, which needs no rule.
AS_GPT_2 = {"gpt-2", "mpt", "olmo", "jais", "trillion", "granite-docling"}
TEXTS = (
    "The capital of Japan is Tokyo, since 1868.",
    "La capital de Francia es París; ¿y el té?",
    "우리나라의 수도는 서울이다",
    "日本の首都は東京です。 中国的首都是北京。",
    "پایتخت ایران تهران است. عاصمة مصر القاهرة",
    "Η πρωτεύουσα της Ελλάδας είναι η Αθήνα",
)
ODD = ("  2024", "x = ² + ³", "it's  we'll\t\t tab", "a  1  b\n\n 2\n", "1月2日 ½")
TABLE = "GGUF_PRE_TOKENIZER_SPLITS"  # of transformers
NAMED = {"bos": "bos", "eos": "eos", "padding": "pad"}
SAMPLED = 200  # words of the vocabulary that are looked at
SPACE = "▁"  # a space, in the vocabularies of SentencePiece


def known_rules() -> set[str]:
    """The ways to split texts that the installed transformers, or `mend`, has.

    transformers' own table is read, since older versions have fewer rules, or no table at all.
    """
    try:
        from transformers.integrations.gguf import gguf_tokenizer_mapping as of_transformers
    except ImportError:
        return AS_GPT_2 | DIGITS_ALONE
    return AS_GPT_2 | DIGITS_ALONE | set(getattr(of_transformers, TABLE, ()))


def digits_alone(tokenizer: Any) -> None:
    """Make each digit a piece of its own before texts are split as GPT-2 splits them.

    transformers 5.23 converts the second step alone, so that two spaces before a number, or a
    power such as ² behind a space, become other tokens.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    )


def adds_bos(settings: Mapping[str, Any]) -> bool:
    """Whether a text's tokens begin with a BOS: as the file says, else as llama.cpp takes it."""
    if (said := settings.get("tokenizer.ggml.add_bos_token")) is not None:
        return bool(said)
    whole = settings.get("tokenizer.ggml.pre") in WHOLE_WORDS
    return settings.get("tokenizer.ggml.model") == "llama" or whole


def mend(tokenizer: Any, settings: Mapping[str, Any]) -> None:
    """Make the tokenizer that transformers converted do what the file says, in place."""
    kind, pre = settings.get("tokenizer.ggml.model"), settings.get("tokenizer.ggml.pre")
    backend = tokenizer.backend_tokenizer
    if kind == "gpt2" and pre in WHOLE_WORDS:
        backend.model.ignore_merges = True
    if kind == "gpt2" and pre in DIGITS_ALONE:
        digits_alone(tokenizer)
    if kind == "llama" and settings.get("tokenizer.ggml.add_space_prefix") is False:
        _no_space_before(backend)
    bos = adds_bos(settings) and tokenizer.bos_token is not None
    if tokenizer.add_bos_token != bos:
        tokenizer.add_bos_token = bos
    if (template := settings.get("tokenizer.chat_template")) is not None:
        tokenizer.chat_template = template


def _no_space_before(backend: Any) -> None:
    """A text that begins without a space is not given one."""
    from tokenizers.decoders import ByteFallback, Fuse, Replace, Sequence
    from tokenizers.pre_tokenizers import Metaspace

    if isinstance(backend.pre_tokenizer, Metaspace):
        backend.pre_tokenizer = Metaspace(replacement=SPACE, prepend_scheme="never", split=False)
        backend.decoder = Sequence([Replace(SPACE, " "), ByteFallback(), Fuse()])


def check_saved(mended: Any, saved: Any, what: str) -> None:
    """Refuse a tokenizer that is another one when it is read from its folder.

    transformers builds those of some model types anew, by a class of its own, such as Qwen 2's.
    """
    for text in (*TEXTS, *ODD):
        if (read := saved(text).input_ids) != (own := mended(text).input_ids):
            raise MechclaError(
                f"{what}: transformers' {type(saved).__name__} has its own way of splitting texts, "
                f"which is not the GGUF file's: {text!r} becomes {read}, not {own}; load the "
                "weights that it was quantised from"
            )


def check_tokenizer(tokenizer: Any, settings: Mapping[str, Any], what: str) -> None:
    """Refuse a tokenizer that does not do what the file says.

    Raises MechclaError for a BOS that the file does not ask for, or that is left out, for a space
    before a text likewise, and for texts that are cut into single letters.
    """
    import transformers

    wrongly = f"{what}: transformers {transformers.__version__} converts its tokenizer wrongly"
    text = TEXTS[0]
    ids, bare = (list(tokenizer(text, add_special_tokens=k).input_ids) for k in (True, False))
    bos = tokenizer.bos_token_id
    if (adds := ids != bare and ids[:1] == [bos]) != (adds_bos(settings) and bos is not None):
        raise MechclaError(
            f"{wrongly}: it {'adds a' if adds else 'adds no'} BOS, and the GGUF file says "
            f"{'no' if adds else 'a'} BOS; install transformers 5.23"
        )
    if settings.get("tokenizer.ggml.model") == "llama":
        spaced = str(tokenizer.convert_ids_to_tokens(bare[0])).startswith(SPACE)
        if spaced != settings.get("tokenizer.ggml.add_space_prefix", True):
            raise MechclaError(
                f"{wrongly}: a space stands{'' if spaced else ' not'} before {text!r}, and the "
                f"file says add_space_prefix={not spaced}; load the weights that it was quantised "
                "from"
            )
    whole, looked = _words(tokenizer)
    if looked and whole < looked / 2:
        raise MechclaError(
            f"{wrongly}: of {looked} words of its vocabulary {looked - whole} are cut into several "
            "tokens; install transformers 5.23"
        )


def check_whole_tokens(tokenizer: Any, header: Header, what: str) -> None:
    """Refuse a tokenizer that cuts a control or user-defined token of the file, or numbers it
    otherwise, or that takes another token for the BOS, the end or the padding.

    transformers leaves out control tokens with letters that its byte alphabet lacks, such as those
    of DeepSeek-R1-Distill. Prompts of a chat template would be cut into other tokens.
    """
    import transformers

    wrongly = f"{what}: transformers {transformers.__version__} converts its tokenizer wrongly"
    advice = "load the weights that it was quantised from"
    read = [(*t, tokenizer(t[1], add_special_tokens=False).input_ids) for t in header.whole]
    cut = [
        f"{text!r} (becomes {ids[:8]}, not {[index]})"
        for index, text, ids in read
        if list(ids) != [index]
    ]
    if cut:
        raise MechclaError(
            f"{wrongly}: of {len(header.whole)} tokens that the GGUF file marks as control or "
            f"user-defined, {len(cut)} are not read as that token: {listed(cut, 2)}; {advice}"
        )
    for named, ours in NAMED.items():
        said = header.settings.get(f"tokenizer.ggml.{named}_token_id")
        if said is not None and (held := getattr(tokenizer, f"{ours}_token_id")) != int(said):
            raise MechclaError(
                f"{wrongly}: its {ours}_token_id is {held}, and the GGUF file says {int(said)}; "
                f"{advice}"
            )


def _words(tokenizer: Any) -> tuple[int, int]:
    """How many words of the vocabulary are one token when they are read, and how many were read."""
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    ordinary = [i for i in sorted(tokenizer.get_vocab().values()) if i not in special]
    every = max(1, len(ordinary) // SAMPLED)
    texts = [tokenizer.decode([i]) for i in ordinary[::every]]
    texts = [text for text in texts if len(text) > 1 and text.strip().isalpha()]
    read = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    return sum(len(ids) == 1 for ids in read), len(texts)


def doubts(tokenizer: Any, settings: Mapping[str, Any]) -> list[str]:
    """What cannot be known of a tokenizer, or is known to be wrong with some texts: to be warned of
    whenever the model is loaded.
    """
    import transformers

    found = []
    pre = settings.get("tokenizer.ggml.pre")
    if settings.get("tokenizer.ggml.model") == "gpt2" and pre not in known_rules():
        found.append(
            f"its GGUF file splits texts by the rule {pre!r}, which transformers "
            f"{transformers.__version__} is not known to have, so that some texts may become other "
            "tokens than in llama.cpp; compare them, or load the weights that it was quantised from"
        )
    changed = [text for text in TEXTS if _written(tokenizer, text) != text]
    if changed:
        found.append(
            f"its tokenizer does not give back {listed(map(repr, changed), 2)} (but "
            f"{_written(tokenizer, changed[0])!r}), so what it cannot write is scored as something "
            "else; choose languages that it can write"
        )
    return found


def _written(tokenizer: Any, text: str) -> str:
    ids = tokenizer(text, add_special_tokens=False).input_ids
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
