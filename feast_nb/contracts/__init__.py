"""What a model expects of its features, and how today's registry differs from it."""
