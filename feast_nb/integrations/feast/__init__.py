"""The Feast side: open a repository, read its registry, notice retrievals."""
