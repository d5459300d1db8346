"""What a model is served: asked for, fetched, and how each value of it stands."""
