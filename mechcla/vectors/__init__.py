"""EN, LOC and any other direction: extraction, recipes, residuals."""
