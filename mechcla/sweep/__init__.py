"""The sweep: one typed config, its cells, a run folder that survives kill -9, and the choice made
on dev.
"""
