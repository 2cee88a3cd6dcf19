"""What stages tell MLflow: kept on disk first, delivered in order, never in a stage's way."""
