"""Totals as plain JSON, for other processes to read."""

from __future__ import annotations

from typing import Any

from .names import BOUNDS, LABELS, TASK_SECONDS
from .values import Durations, Key, Totals, Value

_STORED_NAME = "huey_task_seconds"
"""The name of `TASK_SECONDS` before 0.2. It is still written, as processes of both versions may
share a ledger."""

# Beyond all that is counted, and sums of any number of these can still be written and read.
_LARGEST = 2**63 - 1


def dump(totals: Totals) -> dict[str, object]:
    """*totals* as JSON can say them, with the bounds of their histograms."""
    rows = [(_stored_key(key), _plain(value)) for key, value in totals.items()]
    return {"bounds": BOUNDS, "totals": rows}


def load(content: Any) -> Totals:
    """What `plain` has made; `LookupError`, `TypeError` or `ValueError` if it is anything else."""
    if content["bounds"] != list(BOUNDS):
        raise ValueError("its histograms have other buckets")
    rows = [(_key(*key), value) for key, value in content["totals"]]
    return {key: _value(key[0], value) for key, value in rows}


def _stored_key(key: Key) -> Key:
    return (_STORED_NAME, *key[1:]) if key[0] == TASK_SECONDS else key


def _plain(value: Value) -> object:
    if isinstance(value, Durations):
        return (value.count, value.seconds, value.buckets)
    return value


def _key(metric: str, *labels: str) -> Key:
    if metric == _STORED_NAME:
        metric = TASK_SECONDS
    if len(labels) != len(LABELS[metric]) or not all(isinstance(each, str) for each in labels):
        raise ValueError(f"{metric} with other labels")
    return (metric, *labels)


def _value(metric: str, value: Any) -> Value:
    if metric != TASK_SECONDS:
        return _whole(value)
    count, seconds, buckets = value
    if len(buckets) != len(BOUNDS) + 1 or not 0 <= seconds <= _LARGEST:
        raise ValueError("durations that are none")
    return Durations(_whole(count), float(seconds), tuple(map(_whole, buckets)))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError("a count that is none")
    return value
