"""README's and the docs' numbers, rendered from the committed tables: `python -m analyses.docs`."""
