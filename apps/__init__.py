"""One module per command that opens a model."""
