"""What a kit runs on the scheduler: the heartbeat, token sweeps, the search for stale locks."""
