"""Reports of a queue: what its storage holds, and which processes work on it."""
