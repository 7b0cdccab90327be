"""Tests of HookedTransformer are collected where there is one: TransformerLens 3, `make
test-hooked`.
"""

from importlib.metadata import version

collect_ignore = [] if version("transformer-lens") < "4" else ["test_hooked_transformer.py"]
