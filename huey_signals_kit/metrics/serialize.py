"""Convert totals to JSON values and back, for records that other processes read.

The reader validates everything, because the content comes from a store or a folder that other
programs can write. Numbers are bounded, so that sums of any number of them can be written again.
"""

from __future__ import annotations

from typing import Any

from .names import BOUNDS, LABELS, TASK_SECONDS
from .values import Durations, Key, Totals, Value

_STORED_NAME = "huey_task_seconds"
"""The name of `TASK_SECONDS` before 0.2. It is still written, because processes of both versions
may share a ledger."""

_MAX_COUNT = 2**63 - 1


def dump(totals: Totals) -> dict[str, object]:
    """Return `totals` as values for JSON, with the bounds of the histogram's buckets."""
    rows = [(_stored_key(key), _plain(value)) for key, value in totals.items()]
    return {"bounds": BOUNDS, "totals": rows}


def load(content: Any) -> Totals:
    """Return the totals in the result of `dump`, after a round trip through JSON.

    Raises:
        LookupError: A metric is unknown, or a field is missing.
        TypeError: A value has another type.
        ValueError: A value is out of range, or the histograms have other buckets.
    """
    if content["bounds"] != list(BOUNDS):
        raise ValueError("the histograms have other buckets")
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
    if len(labels) != len(LABELS[metric]) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"{metric} has other labels")
    return (metric, *labels)


def _value(metric: str, value: Any) -> Value:
    if metric != TASK_SECONDS:
        return _whole(value)
    count, seconds, buckets = value
    if len(buckets) != len(BOUNDS) + 1 or not 0 <= seconds <= _MAX_COUNT:
        raise ValueError("not a histogram")
    return Durations(_whole(count), float(seconds), tuple(map(_whole, buckets)))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_COUNT:
        raise ValueError("not a count")
    return value
