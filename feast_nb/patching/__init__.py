"""Replacing a foreign call and putting it back; our bookkeeping inside somebody else's call."""
