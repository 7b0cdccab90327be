"""mechcla: measure, locate and steer cross-lingual transfer and cultural localization.

The public API is what this page names; docs/method.md says what each number means.
"""

from mechcla import interrupts as interrupts  # first: it guards what takes seconds to import
from mechcla.align.record import AlignResult
from mechcla.align.training import align
from mechcla.answers.answers import Answers
from mechcla.answers.generation import generate
from mechcla.answers.output_language import output_language
from mechcla.answers.sem import open_english_bias, sem_b, sem_w
from mechcla.engine.intervention import Intervention
from mechcla.errors import MechclaError
from mechcla.geometry import cosine_by_layer, perpendicularity_by_layer
from mechcla.items.item import Candidate, Item
from mechcla.items.item_set import ItemSet
from mechcla.items.lint import LintReport, lint
from mechcla.items.open_item import AnswerGroup, OpenItem
from mechcla.items.study import Study
from mechcla.metrics.estimates import Estimate
from mechcla.metrics.metrics import (
    difference,
    english_bias,
    localization,
    recoverable_fraction,
    transfer,
)
from mechcla.metrics.plane_point import PlanePoint, plane
from mechcla.models.chat import Chat
from mechcla.models.hooked_model import HookedModel
from mechcla.models.load import load_model
from mechcla.models.wrapping import wrap_model
from mechcla.registry import Registry
from mechcla.report.document import report
from mechcla.runs.aligned import compare_aligned
from mechcla.runs.aligned_values import AlignedComparison
from mechcla.runs.compare import RunComparison, compare_runs
from mechcla.runs.run import Run, read_run
from mechcla.scoring.scorer import score
from mechcla.scoring.scores import ItemScore, Scores
from mechcla.sources import load_items, register_source
from mechcla.statistics import compare, consistency, contrast, permutation_test
from mechcla.steering import en_steering, gated_steering, loc_steering, surgical_steering
from mechcla.sweep.configure import Configuration, configure
from mechcla.sweep.sweep import run_sweep
from mechcla.vectors.extract import en_vectors, loc_vectors
from mechcla.vectors.formats import export_vectors, import_vectors
from mechcla.vectors.gates import Gate, gate_vectors
from mechcla.vectors.steering_vectors import SteeringVectors

__version__ = "0.2.0"

__all__ = [
    "AlignResult", "AlignedComparison", "AnswerGroup", "Answers", "Candidate", "Chat",
    "Configuration", "Estimate", "Gate", "HookedModel", "Intervention", "Item", "ItemScore",
    "ItemSet", "LintReport", "MechclaError", "OpenItem", "PlanePoint", "Registry", "Run",
    "RunComparison", "Scores", "SteeringVectors", "Study", "align", "compare",
    "compare_aligned", "compare_runs", "configure", "consistency", "contrast",
    "cosine_by_layer", "difference", "en_steering", "en_vectors", "english_bias",
    "export_vectors", "gate_vectors", "gated_steering", "generate", "import_vectors", "lint",
    "load_items", "load_model", "loc_steering", "loc_vectors", "localization",
    "open_english_bias", "output_language", "permutation_test", "perpendicularity_by_layer",
    "plane", "read_run", "recoverable_fraction", "register_source", "report", "run_sweep",
    "score", "sem_b", "sem_w", "surgical_steering", "transfer", "wrap_model",
]  # fmt: skip
