"""mechcla: measure, locate and steer cross-lingual transfer and cultural localization.

The public API is what this page names; docs/method.md says what each number means.
"""

from mechcla.answers import Answers
from mechcla.errors import MechclaError
from mechcla.generation import generate
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
from mechcla.open_items import OpenItem
from mechcla.open_metrics import sem_b, sem_w
from mechcla.scores import Scores
from mechcla.scoring import score
from mechcla.selection_guard import Study
from mechcla.sources import load_items, register_source
from mechcla.statistics import compare, consistency, contrast, permutation_test
from mechcla.sweep.configure import Configuration, configure
from mechcla.vectors import SteeringVectors, en_vectors, loc_vectors

__version__ = "0.1.0"

__all__ = [
    "Answers", "Candidate", "Configuration", "Estimate", "HookedModel", "Intervention", "Item", "ItemSet", "MechclaError",
    "OpenItem", "PlanePoint", "Scores", "SteeringVectors", "Study", "compare", "configure", "consistency", "contrast",
    "cosine_by_layer", "difference", "en_steering", "en_vectors", "english_bias", "generate", "load_items", "load_model",
    "loc_steering", "loc_vectors", "localization", "permutation_test", "perpendicularity_by_layer",
    "plane", "recoverable_fraction", "register_source", "score", "sem_b", "sem_w", "surgical_steering", "transfer", "wrap_model",
]  # fmt: skip
