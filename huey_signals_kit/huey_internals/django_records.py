"""The records that Huey's backend for Django's own tasks stores, see `django_tasks`.

The record of a task is a dict under ``djt.<id>`` in the result store, written by ``put_result``
inside the task. When a function raises, the backend writes the record with the status FAILED, the
class path and the whole traceback, before Huey handles the exception and emits a signal. The kit
keeps fields that it does not know, such as those of later versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

READY, RUNNING, FAILED, SUCCESSFUL = "READY", "RUNNING", "FAILED", "SUCCESSFUL"
_STATUSES = frozenset({READY, RUNNING, FAILED, SUCCESSFUL})
_CANCELED = "huey.exceptions.CancelExecution"
_REVOKED_TEXT = "The task was revoked, so Huey did not run it.\n"


@dataclass(frozen=True)
class DjangoRecord:
    """The record of one Django task."""

    fields: dict[str, Any]
    """Everything that is stored."""
    id: str
    status: str
    errors: list[Any]
    """For each error its class path and its traceback."""

    @property
    def error(self) -> str | None:
        """The class path of the error of a task that failed; None for any other task.

        Only the last error counts, which is that of the last attempt.
        """
        if self.status != FAILED or not self.errors:
            return None
        last = self.errors[-1]
        path = last[0] if isinstance(last, (list, tuple)) and last else None
        return path if isinstance(path, str) else None

    @property
    def error_class(self) -> str:
        """The name of the class of that error, without its module; ``"?"`` if it is unknown."""
        name = (self.error or "").rpartition(".")[2]
        return name if name.isidentifier() else "?"

    @property
    def is_kept(self) -> bool:
        """Whether the error was stored on purpose."""
        return self.fields.get("kept") is True

    @property
    def expires(self) -> bool:
        """Whether the kit has given the record a time to live."""
        return "expires" in self.fields

    def kept_fields(self) -> dict[str, Any]:
        """Return the fields of a record whose error is stored on purpose."""
        return {**self.fields, "kept": True}

    def small_fields(self, due: float, has_arguments: bool = True) -> dict[str, Any]:
        """Return the fields without the texts of tracebacks, and with the last error alone.

        Args:
            due: When the record expires, in seconds since the epoch.
            has_arguments: Whether the arguments of the task are left in.
        """
        arguments: dict[str, Any] = {} if has_arguments else {"args": [], "kwargs": {}}
        return {**self.fields, **arguments, "errors": [[self.error, ""]], "expires": due}

    def ready_fields(self) -> dict[str, Any]:
        """Return the fields as they were before the last attempt, as far as they are known."""
        worker_ids = _list(self.fields.get("worker_ids"))[:-1]
        fields = {
            **self.fields,
            "status": READY,
            "errors": self.errors[:-1],
            "worker_ids": worker_ids,
            "finished_at": None,
        }
        if not worker_ids:  # the first attempt
            fields.update(started_at=None, last_attempted_at=None)
        return fields

    def canceled_fields(self, finished_at: str) -> dict[str, Any]:
        """Return the fields of a task that was revoked.

        Django has no status for that, and this class is one that it can load.

        Args:
            finished_at: The time in ISO format.
        """
        errors = [*self.errors, [_CANCELED, _REVOKED_TEXT]]
        return {**self.fields, "status": FAILED, "errors": errors, "finished_at": finished_at}


def parse_record(value: Any, task_id: str) -> DjangoRecord | None:
    """Return a stored value as the record of a task; None if it is not a record.

    Args:
        value: The value, read as data.
        task_id: The id of the task, which the record must have.
    """
    if type(value) is not dict or value.get("id") != task_id:
        return None
    status, errors = value.get("status"), value.get("errors")
    if not isinstance(status, str) or status not in _STATUSES or type(errors) is not list:
        return None
    return DjangoRecord(value, task_id, status, errors)


def class_path(cls: type) -> str:
    """Return the path of a class of exceptions, as the backend writes it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
