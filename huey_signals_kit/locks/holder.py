"""Write and parse the value of a lock, which names its holder.

Huey writes ``'1'`` as the value and never reads it. So the value can carry the holder: it is known
from the lock alone, without a table that must be kept consistent with it, also after ``kill -9``.

A value is one string of lines, serialized by Huey's serializer::

    held, says huey-signals-kit 1      the format
    4711                               pid
    98765                              start time of the process
    web-1                              host
    9f2c... pid:[4026531836]           pid namespace
    b                                  "b" if the process has written a heartbeat, else "-"
    5d41...@123456789                  random id of the process, and its incarnation
    9                                  length of the task's name, "-" outside of a task
    tasks.job1700000000 6ba7...        name, then the time in nanoseconds and the task's id
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from huey.serializer import Serializer

from ..huey_internals.django_tasks import is_django_task, task_key, task_name
from ..runtime.fork import reset_in_child
from ..runtime.process_id import (
    FOREIGN_DATA_ERRORS,
    INCARNATION,
    ProcessId,
    parse_process,
    this_process,
)

_FORMAT = "held, says huey-signals-kit 1"
_LONGEST = 100_000
_MAX_TEMPLATES = 1000
_NO_TEMPLATE = (None, 0, b"", b"")


@dataclass(frozen=True)
class Holder:
    """The holder that a lock's value names."""

    acquisition_id: str
    """Different for every acquisition of any lock."""
    since: float
    """When the lock was acquired, in seconds since the epoch, by the clock of that host."""
    process: ProcessId
    """The process that holds the lock."""
    has_heartbeat: bool
    """Whether the process had written a heartbeat before."""
    task_id: str | None
    """None if the lock was acquired outside of a task."""
    task_name: str | None
    incarnation: int = 0
    """The `INCARNATION` of the process; 0 if unknown."""


class HolderEncoder:
    """A writer of values for the locks that one process acquires.

    Hot path: called for every acquisition. Within one process and one task class, two values differ
    only in the time and the task's id. Huey's own serializer is a pickle, which stores a string as
    it is, after its length. So the bytes around that part are kept as a template for each class,
    and are used again for every stamp of the same length. This is checked by serializing a second
    string, not assumed; other serializers are always called.

    Args:
        process: The process; None for this one.
    """

    def __init__(self, process: ProcessId | None = None) -> None:
        self._other_process = process
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._last = 0
        self._has_heartbeat: bool | None = None
        self._process = f"{uuid4().hex}@{INCARNATION}"
        self.set_has_heartbeat(has_heartbeat=False)

    def set_has_heartbeat(self, has_heartbeat: bool) -> None:
        """Set whether this process has written a heartbeat."""
        if has_heartbeat is self._has_heartbeat:
            return
        self._has_heartbeat = has_heartbeat
        process, flag = self._other_process or this_process(), "b" if has_heartbeat else "-"
        lines = (
            _FORMAT,
            process.pid,
            process.start_time,
            process.host,
            process.pid_namespace,
            flag,
            self._process,
        )
        self._head = "\n".join(map(str, lines))
        # A new dict: another thread may be adding a template with the old head to the old one.
        self._templates: dict[type | str, tuple[Any, int, bytes, bytes]] = {}
        """By the class of a task, or the name of a Django task: the serializer, the length of the
        stamp, the bytes around it."""

    def encode(self, task: Any, serializer: Any) -> bytes:
        """Return the value of a lock that is acquired now.

        Args:
            task: The task that acquires it, or None.
            serializer: The serializer of the Huey.
        """
        now = time.time_ns()
        if now == self._last:  # a coarse clock
            now += 1
        self._last = now
        if task is None:
            return self._serialized(None, str(now), serializer)
        stamp = f"{now} {task.id}".encode("utf-8", "surrogatepass")
        known, length, before, after = self._templates.get(type(task), _NO_TEMPLATE)
        if known is serializer and len(stamp) == length:
            return before + stamp + after
        if is_django_task(task):
            known, length, before, after = self._templates.get(task_name(task), _NO_TEMPLATE)
            if known is serializer and len(stamp) == length:
                return before + stamp + after
        self._add_template(task, len(stamp), serializer)
        return self._serialized(task_name(task), f"{now} {task.id}", serializer)

    def _serialized(self, name: str | None, stamp: str, serializer: Any) -> bytes:
        # The length of the name is written because a name, and an id, may contain any character.
        length = "-" if name is None else len(name)
        text = f"{self._head}\n{length}\n{name or ''}{stamp}"
        raw = serializer.serialize(text)
        return raw.encode() if isinstance(raw, str) else bytes(raw)

    def _add_template(self, task: Any, length: int, serializer: Any) -> None:
        """Add a template, if two serialized values differ in nothing but their stamps."""
        if type(serializer) is not Serializer:
            return
        templates, name = self._templates, task_name(task)
        stamps = "0" * length, "1" * length
        first, second = (self._serialized(name, stamp, serializer) for stamp in stamps)
        before, found, after = first.partition(stamps[0].encode())
        if found and before + stamps[1].encode() + after == second:
            if len(templates) >= _MAX_TEMPLATES:
                templates.clear()
            templates[task_key(task)] = serializer, length, before, after


def parse_holder(value: Any) -> Holder | None:
    """Parse the value of a lock; return None if `HolderEncoder` did not write it.

    Args:
        value: The deserialized value, such as Huey's own ``'1'``.
    """
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
    nanoseconds, _, task_id = rest[len(name or "") :].partition(" ")
    return Holder(
        acquisition_id=f"{process}-{int(nanoseconds)}",
        since=int(nanoseconds) / 1e9,
        process=parse_process(host, pid_namespace, int(pid), int(start_time)),
        has_heartbeat=has_heartbeat == "b",
        task_id=None if name is None else task_id,
        task_name=name,
        incarnation=int(process.partition("@")[2] or 0),
    )
