"""mechcla: measure, locate and steer cross-lingual transfer and cultural localization.

The public API is what this page names; docs/method.md says what each number means.
"""

from mechcla.errors import MechclaError
from mechcla.geometry import cosine_by_layer, perpendicularity_by_layer
from mechcla.interventions import Intervention, en_steering, loc_steering, surgical_steering
from mechcla.items import Candidate, Item, ItemSet
from mechcla.metrics import (
    Estimate,
    PlanePoint,
    difference,
    english_bias,
    localization,
    plane,
    recoverable_fraction,
    transfer,
)
from mechcla.models import HookedModel, load_model, wrap_model
from mechcla.scores import Scores
from mechcla.scoring import score
from mechcla.sources import load_items, register_source
from mechcla.vectors import SteeringVectors, en_vectors, loc_vectors

__version__ = "0.1.0"

__all__ = [
    "Candidate", "Estimate", "HookedModel", "Intervention", "Item", "ItemSet", "MechclaError", "PlanePoint",
    "Scores", "SteeringVectors", "cosine_by_layer", "difference", "en_steering", "en_vectors", "english_bias",
    "load_items", "load_model", "loc_steering", "loc_vectors", "localization", "perpendicularity_by_layer",
    "plane", "recoverable_fraction", "register_source", "score", "surgical_steering", "transfer", "wrap_model",
]  # fmt: skip
