"""The parts that run beside the workers: scheduler thread, background threads, forks, the log.

Nothing here depends on the signals of Huey.
"""
