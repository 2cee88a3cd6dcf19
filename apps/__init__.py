"""One module per command that opens a model, or a folder of pictures."""
