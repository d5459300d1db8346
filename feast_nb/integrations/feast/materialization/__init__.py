"""What loads the online store: Feast's own materialization, watched and told."""
