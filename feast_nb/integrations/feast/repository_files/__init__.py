"""The definition files of a repository, read in a process of their own."""
