"""Presets: settings that go together, by name; a file's and the command's own win over them."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "quick": {
        "languages": ["es", "ko"],
        "coarse_step": 6,
        "refine": 0,
        "restore": False,
        "dev_items": 10,
        "test_items": 20,
        "pair_layers": 1,
        "en_strengths": [0.3],
        "loc_strengths": [2.0],
        "choose": "language",
        "constraint": "tolerance",
        "controls": False,
        "out": "runs/quick",
    },
    "fine": {
        "layers": "upper",
        "en_strengths": [0.15, 0.3, 0.6],
        "loc_strengths": [0.5, 1.0, 2.0, 4.0],
        "pair_layers": 3,
        "out": "runs/fine",
    },
}
