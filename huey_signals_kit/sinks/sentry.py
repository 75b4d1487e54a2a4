"""Sends counts to Sentry, as its metrics."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable

import sentry_sdk

from ..metrics.values import Durations, Sample

NEEDED = "2.44"
_FLUSH_SECONDS = 2.0


def can_count() -> bool:
    """Whether the installed sentry_sdk takes counters as it should, without an experiment."""
    parts = sentry_sdk.VERSION.split(".")[:2]
    new_enough = tuple(map(int, parts)) >= tuple(map(int, NEEDED.split(".")))
    return new_enough and hasattr(getattr(sentry_sdk, "metrics", None), "count")


class SentrySink:
    """Sends what was added, as ``sentry_sdk.metrics.count`` with the labels as attributes.

    ``huey_task_duration_seconds`` becomes two counters, ``huey_task_duration_seconds_count`` and
    ``huey_task_duration_seconds_sum``. Before ``sentry_sdk.init`` nothing is sent and nothing lost;
    but where it comes after ``install_handlers``, Sentry is closed first when the process exits,
    and does not get the last seconds.
    """

    name = "sentry"

    def __init__(self) -> None:
        if not can_count():
            raise ImportError(
                f"the sink 'sentry' needs sentry-sdk>={NEEDED}, and {sentry_sdk.VERSION} is "
                "installed: pip install 'huey-signals-kit[sentry]'"
            )

    def send(self, changes: list[Sample]) -> bool:
        """Send *changes*; False when nobody has initialised Sentry yet."""
        if not sentry_sdk.is_initialized():
            return False
        for each in changes:
            for name, value, unit in _figures(each):
                sentry_sdk.metrics.count(name, value, unit, dict(each.labels))
        if multiprocessing.parent_process() is not None:
            # A worker that Huey forked ends without atexit, so with what Sentry still holds.
            sentry_sdk.flush(_FLUSH_SECONDS)
        return True


def _figures(each: Sample) -> Iterable[tuple[str, float, str | None]]:
    value = each.value
    if not isinstance(value, Durations):
        return [(each.metric, value, None)]
    return [
        (f"{each.metric}_count", value.count, None),
        (f"{each.metric}_sum", value.seconds, "second"),
    ]
