"""What changes a repository, seen before it is done: the plan, and what it breaks."""
