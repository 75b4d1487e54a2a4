"""Counting in memory: metrics and their labels, the counter, and the forms of its values.

`names` has the metrics and their labels, and `counter` the totals of one kit. `meter` counts
signals and times attempts, `attempts` collects their durations. `values` has the types that sinks
get, `serialize` their JSON form, and `labels` limits the number of lock labels.
"""
