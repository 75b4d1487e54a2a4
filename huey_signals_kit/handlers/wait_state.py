"""How long a task has been waiting for its lock, in its message.

Only the message goes from one attempt to the next, and every consumer has to be able to read and
run it, also one without this package. So the state is the name of the time zone of ``expires``, a
plain ``datetime`` that Huey keeps, resolves and obeys as before.
Huey resolves ``expires=60`` again whenever a task goes from the schedule to the queue: that is
why a task's own expiry becomes a moment while it waits.

`WaitMessages` hides this from user code: only the message has the state, and the task that is made
from it has its own ``expires``.
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
_WAIT = "_huey_signals_kit_wait"
# Windows knows no local time after the year 3000.
_NEVER = datetime(2999, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class WaitState:
    """How long a task has waited; moments are seconds since the epoch."""

    since: float
    """When it first could not get its lock."""
    delay: float
    """The latest delay, in seconds, before it was shortened by chance."""
    deadline: float | None
    """When the task itself expires, if it does."""
    original_expires: float | str | list[float] | None
    """Its own ``expires``: seconds, a moment in ISO format, or ``[seconds]`` for a timedelta."""


def begin(task: Any, huey: Any, now: float) -> WaitState:
    """The wait that begins *now*."""
    own = task.expires
    if not own:
        return WaitState(now, 0.0, None, None)
    resolved = task.expires_resolved or task.resolve_expires(huey.utc)
    moment = resolved.replace(tzinfo=timezone.utc) if huey.utc else resolved.astimezone()
    if isinstance(own, datetime):
        own = own.isoformat()
    elif isinstance(own, timedelta):
        own = [own.total_seconds()]
    return WaitState(now, 0.0, moment.timestamp(), own)


def read(task: Any) -> WaitState | None:
    """The wait that *task* is in, or None."""
    original: WaitState | None = getattr(task, _WAIT, None)
    return _decoded(task.expires) if original is None else original


def write(task: Any, wait: WaitState) -> None:
    """Set the wait of *task*, which `WaitMessages` then writes into its messages."""
    clear(task)
    setattr(task, _WAIT, wait)


def clear(task: Any) -> None:
    """Remove the wait of *task*, if it has one."""
    if getattr(task, _WAIT, None) is not None:
        delattr(task, _WAIT)
    wait = _decoded(task.expires)
    if wait is not None:
        _show(task, wait)


class WaitMessages:
    """Writes the waits of one Huey's tasks into their messages, and reads them from there."""

    def __init__(self, huey: Any) -> None:
        self._huey = huey
        self._patch = MethodPatch(huey)
        self._utc: bool = huey.utc
        self._begun = False

    def install(self) -> None:
        """Wrap nothing yet: a wrapper costs time for each message, so that is left to `begin`."""

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
        self._patch = MethodPatch(self._huey)
        self._begun = False

    def _around_serialize(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def serialize_task(task: Any, *args: Any, **options: Any) -> Any:
            wait = getattr(task, _WAIT, None)
            if wait is None:
                return original(task, *args, **options)
            visible = task.expires, task.expires_resolved
            task.expires = _encoded(wait)
            try:
                task.resolve_expires(self._utc)
                return original(task, *args, **options)
            finally:
                task.expires, task.expires_resolved = visible

        return serialize_task

    @staticmethod
    def _around_deserialize(original: Callable[..., Any]) -> Callable[..., Any]:
        def deserialize_task(*args: Any, **options: Any) -> Any:
            task = original(*args, **options)
            wait = _decoded(getattr(task, "expires", None))
            if wait is not None:
                _show(task, wait)
                setattr(task, _WAIT, wait)
            return task

        return deserialize_task


def _encoded(wait: WaitState) -> datetime:
    name = _PREFIX + json.dumps([wait.since, wait.delay, wait.deadline, wait.original_expires])
    moment = (
        _NEVER if wait.deadline is None else datetime.fromtimestamp(wait.deadline, timezone.utc)
    )
    return moment.replace(tzinfo=timezone(timedelta(0), name))


def _decoded(expires: Any) -> WaitState | None:
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


def _show(task: Any, wait: WaitState) -> None:
    """Set the ``expires`` of *task* to its own again."""
    original: Any = wait.original_expires
    if isinstance(original, str):
        original = datetime.fromisoformat(original)
    elif isinstance(original, list):
        original = timedelta(seconds=original[0])
    elif original is None:
        task.expires_resolved = None
    task.expires = original
