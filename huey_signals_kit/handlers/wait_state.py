"""How long a task has been waiting for its lock, kept in the task's message.

Only the message goes from one attempt to the next, and every consumer must be able to read and run
it, including one without this package. So the state is stored as the name of the time zone of
``expires``: still a plain ``datetime``, which Huey keeps, resolves and obeys as before. Huey
resolves ``expires=60`` again whenever a task moves from the schedule to the queue; therefore a
task's own expiry is stored as a point in time while the task waits.

`WaitMessages` hides this from user code: only the message has the state, and the task that is made
from the message has its original ``expires``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ..huey_internals.patch import MethodPatch
from ..runtime.configuration import configuration

_PREFIX = "huey-signals-kit "
"""The beginning of the name of a time zone that has a state."""
_WAIT = "_huey_signals_kit_wait"
"""The attribute of a task that has its state."""
# Windows knows no local time after the year 3000.
_NEVER = datetime(2999, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class WaitState:
    """How long a task has been waiting for its lock; times are seconds since the epoch."""

    since: float
    """The time at which the task first could not acquire its lock."""
    delay: float
    """The latest delay in seconds, without jitter."""
    deadline: float | None
    """The time at which the task expires; None if it does not."""
    original_expires: float | str | list[float] | None
    """The task's ``expires``: seconds, a time in ISO format, or ``[seconds]`` for a timedelta."""


def begin(task: Any, huey: Any, now: float) -> WaitState:
    """Return the state of a task that begins to wait at the time `now`."""
    expires = task.expires
    if not expires:
        return WaitState(now, 0.0, None, None)
    resolved = task.expires_resolved or task.resolve_expires(huey.utc)
    deadline = resolved.replace(tzinfo=timezone.utc) if huey.utc else resolved.astimezone()
    if isinstance(expires, datetime):
        expires = expires.isoformat()
    elif isinstance(expires, timedelta):
        expires = [expires.total_seconds()]
    return WaitState(now, 0.0, deadline.timestamp(), expires)


def read(task: Any) -> WaitState | None:
    """Return the state of a task; None if it does not wait."""
    wait: WaitState | None = getattr(task, _WAIT, None)
    return _decode(task.expires) if wait is None else wait


def write(task: Any, wait: WaitState) -> None:
    """Set the state of a task; `WaitMessages` writes it into the messages of the task."""
    clear(task)
    setattr(task, _WAIT, wait)


def clear(task: Any) -> None:
    """Remove the state of a task, if it has one."""
    if getattr(task, _WAIT, None) is not None:
        delattr(task, _WAIT)
    wait = _decode(task.expires)
    if wait is not None:
        _restore_expires(task, wait)


class WaitMessages:
    """A patch of one Huey that writes the states of tasks into messages and reads them."""

    def __init__(self, huey: Any) -> None:
        self._patch = MethodPatch(huey)
        self._utc: bool = huey.utc
        self._begun = False

    def install(self) -> None:
        """Do nothing yet: a wrapper costs time for each message, so `begin` wraps when needed."""

    def begin(self) -> None:
        """Wrap ``serialize_task`` and ``deserialize_task``, unless they are wrapped already."""
        with configuration.lock:
            if not self._begun:
                self._begun = True
                self._patch.wrap("serialize_task", self._around_serialize)
                self._patch.wrap("deserialize_task", self._around_deserialize)

    def uninstall(self) -> None:
        """Restore both methods."""
        self._patch.remove()
        self._begun = False

    def _around_serialize(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def serialize_task(task: Any, *args: Any, **options: Any) -> Any:
            wait = getattr(task, _WAIT, None)
            if wait is None:
                return original(task, *args, **options)
            before = task.expires, task.expires_resolved
            task.expires = _encode(wait)
            try:
                task.resolve_expires(self._utc)
                return original(task, *args, **options)
            finally:
                task.expires, task.expires_resolved = before

        return serialize_task

    @staticmethod
    def _around_deserialize(original: Callable[..., Any]) -> Callable[..., Any]:
        def deserialize_task(*args: Any, **options: Any) -> Any:
            task = original(*args, **options)
            wait = _decode(getattr(task, "expires", None))
            if wait is not None:
                _restore_expires(task, wait)
                setattr(task, _WAIT, wait)
            return task

        return deserialize_task


def _encode(wait: WaitState) -> datetime:
    name = _PREFIX + json.dumps([wait.since, wait.delay, wait.deadline, wait.original_expires])
    expires = (
        _NEVER if wait.deadline is None else datetime.fromtimestamp(wait.deadline, timezone.utc)
    )
    return expires.replace(tzinfo=timezone(timedelta(0), name))


def _decode(expires: Any) -> WaitState | None:
    if expires is None:
        return None
    zone = getattr(expires, "tzinfo", None)
    name = zone.tzname(None) if isinstance(zone, timezone) else ""
    if not name.startswith(_PREFIX):
        return None
    try:
        return WaitState(*json.loads(name[len(_PREFIX) :]))
    except (TypeError, ValueError):
        return None


def _restore_expires(task: Any, wait: WaitState) -> None:
    """Restore the original ``expires`` of a task."""
    original: Any = wait.original_expires
    if isinstance(original, str):
        original = datetime.fromisoformat(original)
    elif isinstance(original, list):
        original = timedelta(seconds=original[0])
    elif original is None:
        task.expires_resolved = None
    task.expires = original
