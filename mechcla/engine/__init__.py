"""Runs a model under interventions, and does no work twice."""

from mechcla.engine.head import Scored, log_probs
from mechcla.engine.hooks import edit_places, token_mask
from mechcla.engine.intervention import Intervention
from mechcla.engine.state import (
    State,
    advance,
    advance_together,
    finish,
    join,
    scored,
    start,
    steer_here,
    tree_mask,
)

__all__ = [
    "Intervention",
    "Scored",
    "State",
    "advance",
    "advance_together",
    "edit_places",
    "finish",
    "join",
    "log_probs",
    "scored",
    "start",
    "steer_here",
    "token_mask",
    "tree_mask",
]
