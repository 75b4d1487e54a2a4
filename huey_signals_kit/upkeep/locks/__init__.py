"""Locks: who holds them, and the release of those whose holder is dead."""
