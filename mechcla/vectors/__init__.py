"""EN, LOC and any other direction: extraction, recipes, residuals."""

from mechcla.vectors.residuals import (
    Residuals,
    cache_residuals,
    en_differences,
    loc_differences,
    read_residuals,
)

__all__ = ["Residuals", "cache_residuals", "en_differences", "loc_differences", "read_residuals"]
