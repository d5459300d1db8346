"""How stores and views are, looked at in a process of its own: real reads, nothing written."""
