"""Send counts to Sentry as metrics."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable

import sentry_sdk

from ..metrics.values import Durations, Sample

NEEDED = "2.44"
"""The first version of sentry-sdk whose counters are no experiment."""

_FLUSH_SECONDS = 2.0


def can_count() -> bool:
    """Return whether the installed sentry_sdk has counters, and not as an experiment."""
    parts = sentry_sdk.VERSION.split(".")[:2]
    is_new_enough = tuple(map(int, parts)) >= tuple(map(int, NEEDED.split(".")))
    return is_new_enough and hasattr(getattr(sentry_sdk, "metrics", None), "count")


class SentrySink:
    """A sink that calls ``sentry_sdk.metrics.count``, with the labels as attributes.

    ``huey_task_duration_seconds`` becomes two counters, ``huey_task_duration_seconds_count`` and
    ``huey_task_duration_seconds_sum``. Counts from before ``sentry_sdk.init`` are sent after it.
    Call it before ``install_handlers``: otherwise Sentry is closed first when the process exits,
    and does not get the counts of the last seconds.

    Raises:
        ImportError: The installed sentry-sdk is too old.
    """

    name = "sentry"

    def __init__(self) -> None:
        if not can_count():
            raise ImportError(
                f"the sink 'sentry' needs sentry-sdk>={NEEDED}, and {sentry_sdk.VERSION} is "
                "installed: pip install 'huey-signals-kit[sentry]'"
            )

    def send(self, changes: list[Sample]) -> bool:
        """Send the changes; return False if Sentry is not initialised yet."""
        if not sentry_sdk.is_initialized():
            return False
        for sample in changes:
            for name, value, unit in _counters(sample):
                sentry_sdk.metrics.count(name, value, unit, dict(sample.labels))
        if multiprocessing.parent_process() is not None:
            # A worker process of Huey ends without atexit, so Sentry would not send the rest.
            sentry_sdk.flush(_FLUSH_SECONDS)
        return True


def _counters(sample: Sample) -> Iterable[tuple[str, float, str | None]]:
    """Return the counters that a sample becomes: name, value and unit of each."""
    value = sample.value
    if not isinstance(value, Durations):
        return [(sample.metric, value, None)]
    return [
        (f"{sample.metric}_count", value.count, None),
        (f"{sample.metric}_sum", value.seconds, "second"),
    ]
