"""What runs beside the workers: the scheduler thread, background threads, forks, the log.

This room knows no signal of Huey.
"""
