"""Locks whose value names their holder."""
