"""Since when a task waits for its lock, in its message.

Only the message goes from one attempt to the next, and every consumer has to be able to read and
run it, also one without this package. So this is written where only plain data is: as the name
of the time zone of ``expires``, a ``datetime`` which Huey keeps, resolves and obeys as ever.
Huey resolves ``expires=60`` anew whenever a task goes from the schedule to the queue: that is
why a task's own expiry becomes a moment while it waits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

_PREFIX = "huey-signals-kit "
# Windows knows no local time after the year 3000.
_NEVER = datetime(2999, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Wait:
    """How long a task has waited; moments are seconds since the epoch."""

    since: float
    """When it first could not get its lock."""
    delay: float
    """The latest delay, in seconds, before it was shortened by chance."""
    until: float | None
    """When the task itself expires, if it does."""
    own: float | str | None
    """The ``expires`` that it had: seconds, or a moment in ISO format."""


def begin(task: Any, huey: Any, now: float) -> Wait:
    """The wait that begins *now*."""
    own = task.expires
    if not own:
        return Wait(now, 0.0, None, None)
    resolved = task.expires_resolved or task.resolve_expires(huey.utc)
    moment = resolved.replace(tzinfo=timezone.utc) if huey.utc else resolved.astimezone()
    if isinstance(own, datetime):
        return Wait(now, 0.0, moment.timestamp(), own.isoformat())
    seconds = own.total_seconds() if isinstance(own, timedelta) else own
    return Wait(now, 0.0, moment.timestamp(), seconds)


def read(task: Any) -> Wait | None:
    """The wait that *task* is in, or None."""
    zone = getattr(task.expires, "tzinfo", None)
    name = zone.tzname(None) if isinstance(zone, timezone) else ""
    if not name.startswith(_PREFIX):
        return None
    try:
        return Wait(*json.loads(name[len(_PREFIX) :]))
    except (TypeError, ValueError):
        return None


def write(task: Any, wait: Wait) -> None:
    """Let *task*, and every message made of it, say that it is in *wait*."""
    name = _PREFIX + json.dumps([wait.since, wait.delay, wait.until, wait.own])
    moment = _NEVER if wait.until is None else datetime.fromtimestamp(wait.until, timezone.utc)
    task.expires = moment.replace(tzinfo=timezone(timedelta(0), name))


def clear(task: Any) -> None:
    """Give *task* its own expiry back, if it was waiting."""
    wait = read(task)
    if wait is None:
        return
    task.expires = datetime.fromisoformat(wait.own) if isinstance(wait.own, str) else wait.own
    if wait.own is None:
        task.expires_resolved = None
