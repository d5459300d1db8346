"""The notebook around a run: its cells as they ran, what they read and bind, where it lies."""
