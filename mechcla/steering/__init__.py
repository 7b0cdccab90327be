"""What is done to the model: EN, LOC and Surgical Steering, their control arms, linear maps.

A family of methods is one file: its function for users, what dev tries, and its registration.
"""

from mechcla.steering.controls import random_like
from mechcla.steering.en import en_steering
from mechcla.steering.families import FAMILIES, Condition, Family
from mechcla.steering.gate import gated_steering
from mechcla.steering.loc import loc_steering
from mechcla.steering.method import Manner, Method
from mechcla.steering.surgical import surgical_steering
from mechcla.vectors.steering_vectors import like

__all__ = [
    "FAMILIES",
    "Condition",
    "Family",
    "Manner",
    "Method",
    "en_steering",
    "gated_steering",
    "like",
    "loc_steering",
    "random_like",
    "surgical_steering",
]
