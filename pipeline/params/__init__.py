"""params.yaml as the pipeline sees it: asked about, edited, put together."""
