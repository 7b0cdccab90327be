"""The settings of a small gated sweep, which tests of the analyses read."""

GATED = {
    "layers": [1, 3],
    "en_strengths": [4.0],
    "loc_strengths": [8.0],
    "restore": False,
    "gated": True,
    "pair_layers": 1,
    "resamples": 100,
    "figures": False,
}
