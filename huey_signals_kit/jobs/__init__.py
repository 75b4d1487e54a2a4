"""The jobs that a kit runs on the scheduler: heartbeat, token sweeps and stale locks.

`heartbeat` writes the record of this process to the ledger every five seconds. `native_heartbeat`
writes a sign of life where gevent may block the scheduler, and `host_record` writes a file for the
health check of the same host. `token_sweeps` and `stale_locks` run the work of `upkeep` when it is
due, and count and announce what it deleted or released.
"""
