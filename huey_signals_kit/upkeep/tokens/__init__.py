"""Revoke tokens: the sweep that deletes orphaned ones, and their list.

`sweep` decides what is deleted, with the proof that it is safe; `sweeper` makes one process at a
time do it. `marks` stores which tokens earlier sweeps have found orphaned, `slices` holds the
tokens that a sweep works on, `last_sweep` stores when one has ended. `listing` and `info` are for
the commands that show single tokens.
"""
