"""The machinery of adversarial training. The loop never sees a file: it yields, and the stage writes."""
