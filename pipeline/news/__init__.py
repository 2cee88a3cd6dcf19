"""What is told of a run: its summary, its links, its notifications."""
