"""A decoder and where its sites are: the only room that touches TransformerLens or transformers'
models.
"""

from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.models.wrapping import wrap_model

__all__ = ["HookedModel", "load_model", "wrap_model"]
