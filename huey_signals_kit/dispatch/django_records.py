"""Changes to the records of Django's own tasks, so that they follow the verdict.

Huey's backend writes a record before Huey emits the signal of the attempt, so that write cannot be
intercepted: the record is changed afterwards. A change is a compare-and-set of the bytes that were
read. A verdict changes only the record of its attempt: one that is FAILED, with the class of the
exception. Where a change fails, the record stays as the backend has written it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..huey_internals.django_records import READY, DjangoRecord, class_path, parse_record
from ..huey_internals.django_tasks import BACKEND, is_django_task
from ..store import Reader, Store, children, open_store
from ..store.keys import DJANGO
from ..store.reader import Opaque
from ..verdict import Verdict

_TRIES = 3
"""How often a record is read, at most, if it changes meanwhile."""

_LARGEST_SMALL = 4096
"""Bytes up to which a record that expires has the arguments of its task."""

Write = Callable[[Store, str, bytes, DjangoRecord], bool]
"""Changes a record; returns False if its value was no longer the one that was read."""


class Replacer(Protocol):
    """A store of values that expire."""

    def replace(self, key: str, old: bytes, new: bytes, due: float, /) -> bool:
        """Replace a value by one that expires; return False if it was not `old`."""


class RecordReporter(Protocol):
    """A log for records that could not be changed."""

    def record_failed(self, exc: Exception, /) -> object:
        """Log and count that a record could not be changed."""


class DjangoRecords:
    """The records of the Django tasks of one Huey.

    Args:
        huey: The Huey.
        expiry: Replaces records by ones that expire.
        reporter: Logs and counts failures.
    """

    def __init__(self, huey: Any, expiry: Replacer, reporter: RecordReporter) -> None:
        self._huey = huey
        self._expiry = expiry
        self._failed = reporter.record_failed

    def apply(self, task: Any, exception: BaseException, verdict: Verdict) -> None:
        """Apply a verdict to the record of a failed task.

        Args:
            task: The task, which will not run again.
            exception: The exception of its last attempt.
            verdict: The verdict.
        """
        error = class_path(type(exception))

        def write(store: Store, key: str, raw: bytes, record: DjangoRecord) -> bool:
            if record.error != error:
                return True
            if verdict.seconds is not None:
                due = time.time() + verdict.seconds
                new = self._serialize(record.small_fields(due))
                if len(new) > _LARGEST_SMALL:
                    new = self._serialize(record.small_fields(due, has_arguments=False))
                return self._expiry.replace(key, raw, new, due)
            if verdict.action == "drop":
                return store.compare_and_delete(key, raw)
            return store.compare_and_set(key, raw, self._serialize(record.kept_fields()))

        self._change(task, write)

    def reset(self, task: Any, exception_class: type) -> None:
        """Mark the record of a task READY, because the task will run again.

        Args:
            task: The task, which Huey is about to enqueue or schedule again.
            exception_class: The class of the exception of its last attempt.
        """
        error = class_path(exception_class)

        def write(store: Store, key: str, raw: bytes, record: DjangoRecord) -> bool:
            if record.error != error:
                return True
            return store.compare_and_set(key, raw, self._serialize(record.ready_fields()))

        self._change(task, write)

    def cancel(self, task: Any) -> None:
        """Mark the record of a revoked task FAILED, and send Django's ``task_finished``.

        The record of a task that has been started before is left alone: the task may be running.
        """
        backend: Any = sys.modules.get(BACKEND)

        def write(store: Store, key: str, raw: bytes, record: DjangoRecord) -> bool:
            if record.status != READY or backend is None:
                return True
            fields = record.canceled_fields(backend.timezone.now().isoformat())
            if not store.compare_and_set(key, raw, self._serialize(fields)):
                return False
            _send_finished(backend, fields)
            return True

        self._change(task, write)

    def _change(self, task: Any, write: Write) -> None:
        if not is_django_task(task):
            return
        try:
            task_id = str(task.id)
            for _ in range(_TRIES):
                store = open_store(self._huey)
                (raw,) = store.get([DJANGO + task_id])
                value = None if raw is None else Reader(self._huey).value(raw)
                record = parse_record(value, task_id)
                if raw is None or record is None or _is_foreign(value):
                    return
                if write(store, DJANGO + task_id, raw, record):
                    return
        except Exception as exc:
            self._failed(exc)

    def _serialize(self, fields: dict[str, Any]) -> bytes:
        return bytes(self._huey.serializer.serialize(fields))


def _is_foreign(value: Any) -> bool:
    """Return whether a value contains an object that the kit does not load."""
    rest, seen = [value], set[int]()
    while rest:
        part = rest.pop()
        if isinstance(part, Opaque):
            return True
        if id(part) not in seen:
            seen.add(id(part))
            rest.extend(children(part))
    return False


def _send_finished(backend: Any, fields: dict[str, Any]) -> None:
    """Send ``task_finished`` as the backend does; Django logs what receivers raise."""

    def send() -> None:
        result = backend._record_to_result(fields)
        backend.task_finished.send_robust(sender=backend.HueyBackend, task_result=result)

    backend.close_db(send)()
