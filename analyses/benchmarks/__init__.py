"""mechcla's engine against what a researcher would otherwise run: same cells, same items, same
numbers.
"""
