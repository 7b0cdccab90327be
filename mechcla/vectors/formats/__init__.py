"""Vectors for other tools, and from them: one file and one registration per format.

Importing the package registers them all.
"""

from mechcla.vectors.formats import gguf, lm_eval, steering_vectors, tensors
from mechcla.vectors.formats.exchange import export_vectors, import_vectors

__all__ = ["export_vectors", "gguf", "import_vectors", "lm_eval", "steering_vectors", "tensors"]
