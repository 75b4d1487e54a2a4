"""Counting in memory: the metrics and their labels, the counter, and the forms of its values."""
