"""Lock skips as breadcrumbs of Sentry's events."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from ..event import Skip

Breadcrumb = dict[str, Any]

_DEFAULT_MAX_CRUMBS = 100
"""``max_breadcrumbs`` of Sentry, if the option is not set."""


def with_skips(event: dict[str, Any], skips: list[Skip]) -> dict[str, Any]:
    """Add skips to the breadcrumbs of an event, ordered by time, and return the event.

    As in Sentry itself, each new breadcrumb goes through the client's ``before_breadcrumb``, and
    the newest ``max_breadcrumbs`` of all are kept.
    """
    options = sys.modules["sentry_sdk"].get_client().options
    max_crumbs = options.get("max_breadcrumbs", _DEFAULT_MAX_CRUMBS)
    crumbs = event.get("breadcrumbs") or {}
    own = crumbs.get("values") or [] if isinstance(crumbs, dict) else None
    # If the user has attached more than max_breadcrumbs, all of these are kept, and no skips added.
    if own is not None and 0 < max_crumbs >= len(own):
        added = _allowed(map(_breadcrumb, skips), options.get("before_breadcrumb"))
        event["breadcrumbs"] = {**crumbs, "values": _by_time([*own, *added])[-max_crumbs:]}
    return event


def _breadcrumb(skip: Skip) -> Breadcrumb:
    timestamp, lock, task_id, attempt = skip
    return {
        "type": "default",
        "category": "huey.lock",
        "level": "info",
        "message": f"Skipped: {f'lock {lock!r}' if lock else 'its lock'} was taken",
        "data": {"lock": lock or None, "task_id": task_id, "attempt": attempt},
        "timestamp": datetime.fromtimestamp(timestamp, timezone.utc),
    }


def _allowed(
    crumbs: Iterable[Breadcrumb], before: Callable[..., Breadcrumb | None] | None
) -> list[Breadcrumb]:
    passed = crumbs if before is None else (before(crumb, {}) for crumb in crumbs)
    return [crumb for crumb in passed if crumb is not None]


def _by_time(crumbs: list[Breadcrumb]) -> list[Breadcrumb]:
    times: list[float] = []
    for crumb in crumbs:
        seconds = _seconds(crumb.get("timestamp"))
        # A breadcrumb without a time stays behind the one before it.
        times.append(seconds if seconds is not None else times[-1] if times else 0.0)
    return [crumbs[index] for index in sorted(range(len(crumbs)), key=times.__getitem__)]


def _seconds(timestamp: object) -> float | None:
    if isinstance(timestamp, str):
        with suppress(ValueError):
            timestamp = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    if isinstance(timestamp, datetime):
        aware = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=timezone.utc)
        return aware.timestamp()
    return float(timestamp) if isinstance(timestamp, (int, float)) else None
