"""Locks whose value names their holder, and which only their holder releases.

`patch` turns Huey's locks into `OwnedLock`, `manager` acquires and releases them, `holder` writes
and parses the values, and `held` records what this process holds. A lock that was lost is reported
by `lost_locks`, unless it was cleared on purpose (`cleared`).
"""
