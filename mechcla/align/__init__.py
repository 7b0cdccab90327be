"""Trained cross-lingual alignment: methods, their losses and data, and the training of adapters."""

from mechcla.align import clo as clo  # each registers its method
from mechcla.align import controls as controls
from mechcla.align import midalign as midalign
from mechcla.align import mist as mist
