"""The reference page ``recipes/reference.md``: generated, and tested to be complete."""
