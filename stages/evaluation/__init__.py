"""Scores under a protocol: taken, written down, put into words and shown."""
