"""Delete stored errors by their class: above all lock errors from before the kit was installed.

Left alone, and counted in the report, are:

- an error whose task will run again (Huey up to 3.4 stores one after each attempt, and replaces it
  after the next);
- an error to which the kit has given a time to live;
- an error that was stored on purpose (``lock_errors="keep"`` of a task, `KEEP` of a handler),
  unless `kept` is set;
- an error that has changed since it was read;
- a result that cannot be read;
- a key that may belong to another queue, where the name of one queue is a prefix of the other's
  (`Keys.is_of_this_queue`).

The record of one of Django's own tasks counts as an error while its status is FAILED, by the class
path in it alone; the text of its traceback may have anything in it.

Parts of a chord are no results, because the callback of the chord waits for them. An error of Huey
before 3.4 is the same for a task that was locked and for a task that asked for the result of a
locked one, so both count as lock errors.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from huey.utils import Error

from .._checks import check_huey, short, validate_flag
from ..huey_internals.django_records import parse_record
from ..ledger import UnreadableLedger, open_ledger
from ..store import Store, chunks, open_store
from ..store.keys import DJANGO, Keys, Kind
from ..store.protocol import Entry
from ..store.reader import Reader, Unreadable
from ._common import Stopped
from ._limits import LOCK_ERRORS
from ._live_ids import LiveTaskIds

# As many as memory allows: before each deletion the queue and the schedule are read, which on a
# storage in files takes as long as reading all results.
_BATCH_ERRORS = 20_000
_DELETED_AT_ONCE = 500
"""Errors after which the report counts what was deleted, also if the storage fails then."""

_BATCH_BYTES = 32_000_000
_TRACEBACK_CLASS = re.compile(r"(?:[\w<>]+\.)*(\w{1,200})(?::|$)")
_REPR_CLASS = re.compile(r"(\w{1,200})\(")


@dataclass(frozen=True)
class PurgeReport:
    """The result of a purge.

    Of the `matched` errors each is counted in one of `deleted`, `pending`, `expiring`, `kept` and
    `undecided`.
    """

    scanned: int = 0
    """Keys of the store that were read."""
    errors: int = 0
    """Stored errors of any class."""
    matched: int = 0
    """Errors of the classes to delete."""
    deleted: int = 0
    """Errors that were deleted; in a dry run, errors that would be."""
    pending: int = 0
    """Errors whose task is in the queue or the schedule, or is running."""
    expiring: int = 0
    """Errors that have a time to live."""
    kept: int = 0
    """Errors that were stored on purpose."""
    undecided: int = 0
    """Errors that were replaced meanwhile, may belong to another queue, or whose task may still
    run because a message cannot be read."""
    unreadable: int = 0
    """Results that cannot be read."""
    seconds: float = 0.0
    stopped: str = ""
    """The reason why deleting stopped, if it did."""
    dry_run: bool = False


@dataclass(frozen=True)
class StoredError:
    """An error in the store: Huey's own, or that of one of Django's own tasks."""

    class_name: str
    """The name of its class without a module, ``"?"`` if it is unknown or ambiguous."""
    is_kept: bool
    """Whether it was stored on purpose."""
    expires: bool
    """Whether the kit has given it a time to live."""
    key: object
    """The key under which the task that it names is stored."""
    is_of_django: bool = False


def stored_error(key: str, kind: Kind, value: Any) -> StoredError | None:
    """Return a stored value as an error; None if it is not an error.

    Args:
        key: The key of the value.
        kind: The kind of the key.
        value: The value, read as data.
    """
    if isinstance(value, Error):
        metadata: dict[Any, Any] = value.metadata if isinstance(value.metadata, dict) else {}
        name, kept, task_id = class_of(value), metadata.get("kept") is True, metadata.get("task_id")
        return StoredError(name, kept, "expires" in metadata, task_id)
    record = parse_record(value, key[len(DJANGO) :]) if kind is Kind.DJANGO else None
    if record is None or record.error is None:
        return None
    return StoredError(record.error_class, record.is_kept, record.expires, key, True)


class PurgeStopped(Stopped):
    """The error of a purge that stopped early; `report` has what was done until then."""

    report: PurgeReport
    work = "the purge of"


def purge_errors(
    huey: Any,
    exceptions: str | type[BaseException] | Iterable[str | type[BaseException]] = LOCK_ERRORS,
    dry_run: bool = False,
    *,
    kept: bool = False,
    on_progress: Callable[[PurgeReport], object] | None = None,
) -> PurgeReport:
    """Delete stored errors by the name of their exception class.

    Args:
        huey: The Huey, with a kit or without.
        exceptions: Exception classes, or their names without a module.
        dry_run: Only report what would be deleted.
        kept: Also delete errors that were stored on purpose.
        on_progress: Called repeatedly with the report so far.

    Raises:
        PurgeStopped: It failed halfway, as when the storage became unreachable.
        TypeError: An argument has another type.
        ValueError: A name is not an identifier, or there is none.
    """
    huey = check_huey(huey, "purge_errors()")
    validate_flag(dry_run, "dry_run= of purge_errors()")
    validate_flag(kept, "kept= of purge_errors()")
    purge = _Purge(huey, validate_classes(exceptions), dry_run, kept)
    try:
        purge.run(on_progress or (lambda report: None))
    except UnreadableLedger as exc:
        purge.stopped = str(exc)
    except Exception as exc:
        purge.stopped = repr(exc)
        raise PurgeStopped(str(huey.name), purge.report(), exc) from exc
    return purge.report()


def class_of(error: Error) -> str:
    """Return the name of the class of a stored error; ``"?"`` if that is unknown or ambiguous.

    A stored error has a text (the `repr` of the exception) and, since Huey 3.4, a traceback. If a
    task asked for the result of another task, the text is that of the other task's error, and only
    the traceback tells the difference. But a message may contain further tracebacks, so a traceback
    is used only if it names one class.
    """
    metadata = error.metadata if isinstance(error.metadata, dict) else {}
    text, traceback = metadata.get("error"), metadata.get("traceback")
    match = _REPR_CLASS.match(text) if isinstance(text, str) else None
    named = "?" if match is None else match.group(1)
    raised = _raised_classes(traceback) if isinstance(traceback, str) else []
    if not raised or raised[-1] == named:
        return named
    return raised[0] if len(raised) == 1 else "?"


def _raised_classes(traceback: str) -> list[str]:
    """Return the class at the end of each part of a traceback."""
    classes = []
    for part in traceback.split("Traceback (most recent call last):")[1:]:
        last = next((line for line in part.splitlines() if line and not line[0].isspace()), "")
        match = _TRACEBACK_CLASS.match(last)
        classes += [] if match is None else [match.group(1)]
    return classes


def validate_classes(exceptions: Any) -> frozenset[str]:
    """Return the names of exception classes, given as for `purge_errors`.

    Raises:
        TypeError: An item is neither an exception class nor a string.
        ValueError: A name is not an identifier, or there is none.
    """
    is_many = isinstance(exceptions, Iterable) and not isinstance(exceptions, (str, type))
    names = {_class_name(item) for item in (exceptions if is_many else (exceptions,))}
    if not names:
        raise ValueError("exceptions= of purge_errors() is empty, so it would match nothing")
    return frozenset(names)


def _class_name(item: object) -> str:
    if isinstance(item, type) and issubclass(item, BaseException):
        return item.__name__
    if not isinstance(item, str):
        raise TypeError(
            "exceptions= of purge_errors() takes names of exception classes, got "
            f"{short(item)}; write exceptions=('TaskLockedException',)"
        )
    if not item.isidentifier():
        raise ValueError(
            "exceptions= of purge_errors() takes names as stored errors have them, without "
            f"a module, got {short(item)}; write {_suggestion(item)}"
        )
    return item


def _suggestion(text: str) -> str:
    """Return the names that a user has probably meant, for a message."""
    parts = [part.rpartition(".")[2] for part in re.split(r"[\s,;|]+", text)]
    names = [short(part) for part in parts if part.isidentifier()] or ["'MyBusyError'"]
    return names[0] if len(names) == 1 else f"{' and '.join(names[:3])}, each by itself"


class _Purge:
    """One purge of one store.

    The errors to delete are collected in batches. Before a batch is deleted, all tasks that can
    still run are read: an error is deleted only if its task is none of them.
    """

    def __init__(self, huey: Any, classes: frozenset[str], dry_run: bool, kept: bool) -> None:
        self._store: Store = open_store(huey)
        self._keys = Keys(huey)
        self._reader = Reader(huey)
        self._live_ids = LiveTaskIds(self._store, open_ledger(huey), self._reader.ids)
        self._classes = classes
        self._dry_run = dry_run
        self._with_kept = kept
        self._counts: Counter[str] = Counter()
        self._started = time.monotonic()
        self.stopped = ""

    def report(self) -> PurgeReport:
        """Return the report so far."""
        seconds = time.monotonic() - self._started
        return PurgeReport(
            **self._counts, seconds=seconds, stopped=self.stopped, dry_run=self._dry_run
        )

    def run(self, on_progress: Callable[[PurgeReport], object]) -> None:
        """Read all results, and delete the matching errors in batches."""
        errors: list[Entry] = []
        for batch in self._store.entries():
            errors += [entry for entry in batch if self._matches(entry)]
            if len(errors) >= _BATCH_ERRORS or sum(e.size for e in errors) >= _BATCH_BYTES:
                self._delete(errors, on_progress)
                errors = []
            on_progress(self.report())
        self._delete(errors, on_progress)
        on_progress(self.report())

    def _matches(self, entry: Entry) -> bool:
        """Count an entry; return whether it is an error to delete."""
        self._counts["scanned"] += 1
        kind = self._keys.kind(entry.key)
        if kind not in (Kind.RESULT, Kind.DJANGO):
            return False
        try:
            value = self._reader.value(entry.value)
        except Unreadable:
            self._counts["unreadable"] += 1
            return False
        error = stored_error(entry.key, kind, value)
        if error is None:
            return False
        self._counts["errors"] += 1
        if error.class_name not in self._classes:
            return False
        self._counts["matched"] += 1
        if error.expires:
            self._counts["expiring"] += 1
            return False
        if error.is_kept and not self._with_kept:
            self._counts["kept"] += 1
            return False
        if not self._keys.is_of_this_queue(entry.key, error.key):
            self._counts["undecided"] += 1
            return False
        return True

    def _is_live(self, key: str) -> bool:
        # A key of the form of a Django record may also be the id of a user's own.
        return self._live_ids.has(key) or self._live_ids.has(key.removeprefix(DJANGO))

    def _delete(self, errors: list[Entry], on_progress: Callable[[PurgeReport], object]) -> None:
        if not errors:
            return
        # Undecided until they are deleted, so that the report is right if the storage fails.
        self._counts["undecided"] += len(errors)
        # After the errors were read: a task that has stored an error and runs again is found.
        self._live_ids.refresh()
        if not self._live_ids.is_complete:
            self.stopped = "a message cannot be read: its task may still run"
            return
        due = [(entry.key, entry.value) for entry in errors if not self._is_live(entry.key)]
        pending = len(errors) - len(due)
        self._counts.update(pending=pending, undecided=-pending)
        for pairs in chunks(due, _DELETED_AT_ONCE):
            deleted = len(pairs)
            if not self._dry_run:
                deleted = len(self._store.compare_and_delete_many(pairs))
            self._counts.update(deleted=deleted, undecided=-deleted)
            on_progress(self.report())
