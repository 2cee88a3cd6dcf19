"""How images become a generator: data, networks, losses, training, metrics. Knows no YAML, MLflow, DVC or Prefect."""
