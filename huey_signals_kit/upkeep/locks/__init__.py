"""Locks: find out who holds them, and release those whose holder is dead.

`inspection` decides whether a holder is alive, `release` releases locks on that basis, and `info`
describes a lock. `skip_history` stores how often each lock was refused, for the last hour.
"""
