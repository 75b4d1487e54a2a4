"""Explanations of single tasks: where a task is, and why it does not run.

`explain` searches all places, `messages` the queue and the schedule, `nested` the inside of one
message, and `result` describes a stored result. `model` has the data classes.
"""
