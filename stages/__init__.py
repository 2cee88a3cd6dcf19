"""One module per stage of dvc.yaml: reads files, calls gan, writes files."""
