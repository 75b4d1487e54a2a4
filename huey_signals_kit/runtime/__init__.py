"""The parts that run beside the workers: scheduler thread, background threads, forks, the log.

This room knows no signal of Huey.
"""
