"""The run folder: its files, their identity, their integrity."""
