"""Free text: generation, answers, matching with annotated answers."""
