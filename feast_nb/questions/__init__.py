"""Who uses what: asked of a history and a registry, for the notebook and the side panel alike."""
