"""Scores from features, one file each. A metric never sees a generator."""
