"""The page of a run: one HTML file that opens from disk and loads nothing; it reads runs only."""
