"""Sweeps: many trials of the pipeline, each in a clone of its own, compared and applied."""
