"""The package as it is installed: from its wheel, in an empty environment."""
