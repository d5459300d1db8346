"""Libraries that make models: what kind a model is, what it takes, what it was trained to."""
