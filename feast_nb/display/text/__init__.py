"""Records as plain text, readable in a terminal."""
