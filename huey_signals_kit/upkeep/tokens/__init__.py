"""Revoke tokens: the sweep that deletes orphaned ones, and their list."""
