"""Who holds a lock, as the lock's own value says it: Huey writes ``'1'`` there and never reads it.

So it is known at once, without a table to keep, also after a ``kill -9``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from huey.serializer import Serializer

from ..runtime.fork import reset_in_child
from ..runtime.process_id import (
    FOREIGN_DATA_ERRORS,
    INCARNATION,
    LARGEST_PID,
    ProcessId,
    this_process,
)

_FORMAT = "held, says huey-signals-kit 1"
_LONGEST = 100_000
_MOST_TEMPLATES = 1000
_NO_TEMPLATE = (None, 0, b"", b"")


@dataclass(frozen=True)
class Holder:
    """What a lock's value says."""

    acquisition_id: str
    """No other taking of any lock has the same."""
    since: float
    """By the clock of that host."""
    place: ProcessId
    has_heartbeat: bool
    """Whether the process had written a heartbeat before."""
    task_id: str | None
    """None when it was taken outside of a task."""
    task_name: str | None
    incarnation: int = 0
    """As in `Heartbeat`; 0 where that is unknown."""


class HolderEncoder:
    """Writes the values of the locks that this process takes."""

    def __init__(self) -> None:
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._last = 0
        self._has_heartbeat: bool | None = None
        self._process = f"{uuid4().hex}@{INCARNATION}"
        self.set_has_heartbeat(has_heartbeat=False)

    def set_has_heartbeat(self, has_heartbeat: bool) -> None:
        """Whether this process has written a heartbeat."""
        if has_heartbeat is self._has_heartbeat:
            return
        self._has_heartbeat = has_heartbeat
        place, flag = this_process(), "b" if has_heartbeat else "-"
        lines = (
            _FORMAT,
            place.pid,
            place.start_time,
            place.host,
            place.pid_namespace,
            flag,
            self._process,
        )
        self._head = "\n".join(map(str, lines))
        self._templates: dict[type, tuple[Any, int, bytes, bytes]] = {}

    def write(self, task: Any, serializer: Any) -> bytes:
        """The value for a lock that is taken now, in *task* or outside of any."""
        now = time.time_ns()
        if now == self._last:  # a coarse clock stands still
            now += 1
        self._last = now
        if task is None:
            return self._serialized(None, str(now), serializer)
        stamp = f"{now} {task.id}".encode("utf-8", "surrogatepass")
        known, length, before, after = self._templates.get(type(task), _NO_TEMPLATE)
        if known is serializer and len(stamp) == length:
            return before + stamp + after
        self._learn(type(task), len(stamp), serializer)
        return self._serialized(type(task), f"{now} {task.id}", serializer)

    def _serialized(self, kind: type | None, stamp: str, serializer: Any) -> bytes:
        name = "" if kind is None else f"{kind.__module__}.{kind.__name__}"
        # Only its length tells where a name ends: what stands in it, and in an id, is not ours.
        text = f"{self._head}\n{'-' if kind is None else len(name)}\n{name}{stamp}"
        raw = serializer.serialize(text)
        return raw.encode() if isinstance(raw, str) else bytes(raw)

    def _learn(self, kind: type, length: int, serializer: Any) -> None:
        """Huey's own serializer writes a text as it is: so much of it need not be written anew."""
        if type(serializer) is not Serializer:
            return
        forms = self._templates  # others come with another head
        others = "0" * length, "1" * length
        sample, probe = (self._serialized(kind, other, serializer) for other in others)
        before, found, after = sample.partition(others[0].encode())
        if found and before + others[1].encode() + after == probe:
            if len(forms) >= _MOST_TEMPLATES:
                forms.clear()
            forms[kind] = serializer, length, before, after


def parse_holder(value: Any) -> Holder | None:
    """What `HolderEncoder` has written; None for anything else, as for Huey's own ``'1'``."""
    if type(value) is not str or not value.startswith(_FORMAT) or len(value) > _LONGEST:
        return None
    try:
        return _holder(*value.split("\n", 8)[1:])
    except FOREIGN_DATA_ERRORS:
        return None


def _holder(
    pid: str,
    start_time: str,
    host: str,
    pid_namespace: str,
    has_heartbeat: str,
    process: str,
    length: str,
    rest: str,
) -> Holder:
    name = None if length == "-" else rest[: int(length)]
    moment, _, task_id = rest[len(name or "") :].partition(" ")
    if not 0 < int(pid) <= LARGEST_PID:
        raise ValueError("no process has such a number")
    return Holder(
        acquisition_id=f"{process}-{int(moment)}",
        since=int(moment) / 1e9,
        place=ProcessId(host, pid_namespace, int(pid), int(start_time)),
        has_heartbeat=has_heartbeat == "b",
        task_id=None if name is None else task_id,
        task_name=name,
        incarnation=int(process.partition("@")[2] or 0),
    )
