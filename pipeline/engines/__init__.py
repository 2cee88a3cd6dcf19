"""DVC, MLflow and Prefect as processes and servers of this checkout."""
