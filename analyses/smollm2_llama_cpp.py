"""SmolLM2's GGUF in llama.cpp itself, against the folder that mechcla converts from it.

    python -m analyses.smollm2_llama_cpp --out docs/reference/smollm2/llama_cpp.json

Needs the two packages that analyses.llama_cpp names. Every demo and confirmation item, in its three
prompt forms and with each candidate behind, is split by both tokenizers, and so are some texts in
which transformers' conversion is known to differ. Then the candidates of some English and Spanish
test items are scored in the chat template by both: by llama.cpp with the GGUF's weights as float32,
and as they are shipped.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mechcla
from analyses.common import one_message
from analyses.llama_cpp import PACKAGES, LlamaCpp, as_float32, library, likelihoods
from mechcla.engine.packing import pack
from mechcla.items.item import Item
from mechcla.items.item_set import ItemSet
from mechcla.models.smollm2 import SMOLLM2
from mechcla.storage import write_json

SYSTEM = "Complete the sentence. Answer with the missing words only."
ODD = (
    SMOLLM2.text,
    "  2024",
    "x = ² + ³",
    "a  1  b\n\n 2\n",
    "٢٠٢٤ ۲۰۲۴ 1月2日 Ⅳ ½",
    "it's  we'll\t\t tab",
    "\n\n\n",
    "a   ",
    "é e\u0301 ﷺ 👍🏽",
)


def texts(items: Sequence[Item]) -> list[str]:
    """Each once: the prompts of all forms, and each with a candidate behind it."""
    found = set(ODD)
    for item in items:
        for prompt in (item.prompt, item.prompt_explicit, item.prompt_us):
            if prompt is not None:
                found.add(prompt)
                found |= {prompt + item.separator + c.text for c in item.candidates}
    return sorted(found)


def apart(theirs: Sequence[Sequence[float]], ours: Sequence[Sequence[float]]) -> dict[str, Any]:
    """How far two tables of log-likelihoods are from each other, and on how many items both choose
    the same candidate.
    """
    flat = [np.array([x for row in table for x in row]) for table in (theirs, ours)]
    choice = [[int(np.argmax(row)) for row in table] for table in (theirs, ours)]
    return {
        "candidates": len(flat[0]),
        "apart": float(np.abs(flat[0] - flat[1]).mean()),
        "apart at most": float(np.abs(flat[0] - flat[1]).max()),
        "same choice": sum(a == b for a, b in zip(*choice, strict=True)),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/smollm2_llama_cpp.json"))
    parser.add_argument("--items", type=int, default=6, help="test items per kind and language")
    args = parser.parse_args(arguments)
    sys.excepthook = one_message
    library()
    torch.set_num_threads(1)
    model = mechcla.load_model("smollm2", device="cpu")
    demo = mechcla.load_items("demo")
    asked = texts([*demo, *mechcla.load_items("confirm")])
    test = demo.language("en", "es").test
    parts = [
        kind.language(language)[: args.items]
        for kind in (test.universal, test.cultural)
        for language in ("en", "es")
    ]
    chosen = ItemSet(tuple(i for part in parts for i in part))
    chat = mechcla.Chat(system=SYSTEM)
    ours = likelihoods(mechcla.score(model, chosen, chat=chat))
    packed = [pack(item, model.tokenizer, chat=chat) for item in chosen]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        shipped, plain = SMOLLM2.source(Path(name)), Path(name) / "f32.gguf"
        as_float32(shipped, plain)
        for weights, path in (("float32", plain), ("Q4_1", shipped)):
            other = LlamaCpp(path, exact=weights == "float32")
            if not found:
                alike = [other.tokens(t) == tuple(model.tokenizer(t).input_ids) for t in asked]
                found = {"texts": len(asked), "tokenised alike": sum(alike)}
                prompts = [model.tokenizer.decode(p.prompt) for p in packed]
                found["prompts in the template"] = len(packed)
                found["of these tokenised alike"] = sum(
                    other.tokens(t, marks=True) == p.prompt
                    for t, p in zip(prompts, packed, strict=True)
                )
            theirs = [other.log_likelihoods(p, None, spare_bos=False) for p in packed]
            found[weights] = apart(theirs, ours)
    record = {
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "model": model.name,
        "items": len(chosen),
        **found,
    }
    write_json(args.out, record)
    return record


if __name__ == "__main__":
    for key, value in main().items():
        print(key, value)
