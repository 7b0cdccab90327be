"""Candidates' log-likelihoods under interventions, as an item-level table."""

from mechcla.scoring.prepared import Prepared, prepare
from mechcla.scoring.scorer import score, score_many
from mechcla.scoring.scores import ItemScore, Scores

__all__ = ["ItemScore", "Prepared", "Scores", "prepare", "score", "score_many"]
