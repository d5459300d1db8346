"""The servers behind Feast: what they say beyond what Feast passes on, and when they do not."""
