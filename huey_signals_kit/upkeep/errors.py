"""Removes errors of some classes that were stored before the kit came: lock errors, above all.

What is left alone, and counted: an error whose task will run again (Huey up to 3.4 stores one
after each attempt, and replaces it after the next), one that the kit has given a time to live,
one that was stored on purpose (``lock_errors="keep"``, a handler's `KEEP`) unless asked for,
what has changed since it was read, what cannot be read, and what may be another queue's, where
one's name is the beginning of the other's (`Keys.is_of_this_queue`). An error of Huey before 3.4
does not tell a task that was locked from one that failed as it asked for the result of such a
task: both count as lock errors. Parts of a chord are no results: its callback waits for them.
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
from ..ledger import UnreadableLedger, open_ledger
from ..store import Store, open_store
from ..store.keys import Keys, Kind
from ..store.protocol import Entry
from ..store.reader import Reader, Unreadable
from ._common import Stopped
from ._live_ids import LiveTaskIds

LOCK_ERRORS = ("TaskLockedException",)
# As many as memory allows: before each deletion all places are looked at, which on a storage in
# files takes as long as reading all results.
_AT_ONCE = 20_000
_AT_ONCE_BYTES = 32_000_000
_RAISED = re.compile(r"(?:[\w<>]+\.)*(\w{1,200})(?::|$)")
_CLASS = re.compile(r"(\w{1,200})\(")


@dataclass(frozen=True)
class PurgeReport:
    """What a purge has found among the results."""

    scanned: int = 0
    """Keys of the store that were read."""
    errors: int = 0
    """Stored errors, of any class."""
    matched: int = 0
    """Those of the classes that were asked for."""
    deleted: int = 0
    """Of these, those deleted; in a dry run, those that would have been."""
    pending: int = 0
    """Of these, those whose task stands in the queue or the schedule, or is running."""
    expiring: int = 0
    """Of these, those that go by themselves."""
    kept: int = 0
    """Of these, errors that were stored on purpose."""
    undecided: int = 0
    """Of these, those that were left alone: replaced meanwhile, maybe another queue's, or nobody
    can say."""
    unreadable: int = 0
    """Results that could not be read."""
    seconds: float = 0.0
    stopped: str = ""
    """Why nothing was deleted, where that has a reason."""
    dry_run: bool = False


class PurgeStopped(Stopped):
    """A purge that could not go on; ``report`` has what it did until then."""

    report: PurgeReport
    work = "the purge of"


def purge_errors(
    huey: Any,
    exceptions: str | type[BaseException] | Iterable[str | type[BaseException]] = LOCK_ERRORS,
    dry_run: bool = False,
    *,
    kept: bool = False,
    progress: Callable[[PurgeReport], object] | None = None,
) -> PurgeReport:
    """Remove stored errors of the classes *exceptions*, which are named without their module.

    With *dry_run* nothing is deleted. With *kept* errors are deleted even if they were stored on
    purpose, by ``lock_errors="keep"`` or a handler's `KEEP`. *progress* is called now and then with
    the report so far.
    `PurgeStopped` if the storage goes away half way: its ``report`` has what was done until then.
    """
    huey = check_huey(huey, "purge_errors()")
    validate_flag(dry_run, "dry_run= of purge_errors()")
    validate_flag(kept, "kept= of purge_errors()")
    purge = _Purge(huey, validate_classes(exceptions), dry_run, kept)
    try:
        purge.run(progress or (lambda report: None))
    except UnreadableLedger as exc:
        purge.stopped = str(exc)
    except Exception as exc:
        purge.stopped = repr(exc)
        raise PurgeStopped(str(huey.name), purge.report(), exc) from exc
    return purge.report()


def class_of(error: Error) -> str:
    """The name of the class of a stored error; ``"?"`` if it does not say, or says two.

    Its text is that of another task's error where a result was asked for, which the traceback
    tells (before Huey 3.4 there is none). A message may have tracebacks in it as well.
    """
    metadata = error.metadata if isinstance(error.metadata, dict) else {}
    text, traceback = metadata.get("error"), metadata.get("traceback")
    found = _CLASS.match(text) if isinstance(text, str) else None
    named = "?" if found is None else found.group(1)
    raised = _raised(traceback) if isinstance(traceback, str) else []
    if not raised or raised[-1] == named:
        return named
    return raised[0] if len(raised) == 1 else "?"


def is_kept(error: Error) -> bool:
    """Return whether an error was stored on purpose, by its metadata."""
    return isinstance(error.metadata, dict) and error.metadata.get("kept") is True


def _raised(traceback: str) -> list[str]:
    """The class at the end of each part of a *traceback*."""
    found = []
    for part in traceback.split("Traceback (most recent call last):")[1:]:
        last = next((line for line in part.splitlines() if line and not line[0].isspace()), "")
        raised = _RAISED.match(last)
        found += [] if raised is None else [raised.group(1)]
    return found


def validate_classes(exceptions: Any) -> frozenset[str]:
    """The names of exception classes, however they were given."""
    many = isinstance(exceptions, Iterable) and not isinstance(exceptions, (str, type))
    names = {_class_name(each) for each in (exceptions if many else (exceptions,))}
    if not names:
        raise ValueError("exceptions= of purge_errors() is empty, so it would match nothing")
    return frozenset(names)


def _class_name(given: object) -> str:
    if isinstance(given, type) and issubclass(given, BaseException):
        return given.__name__
    if not isinstance(given, str):
        raise TypeError(
            "exceptions= of purge_errors() takes names of exception classes, got "
            f"{short(given)}; write exceptions=('TaskLockedException',)"
        )
    if not given.isidentifier():
        raise ValueError(
            "exceptions= of purge_errors() takes names as they stand in a stored error, without "
            f"a module, got {short(given)}; write {_meant(given)}"
        )
    return given


def _meant(given: str) -> str:
    names = [each.rpartition(".")[2] for each in re.split(r"[\s,;|]+", given)]
    names = [short(each) for each in names if each.isidentifier()] or ["'MyBusyError'"]
    return names[0] if len(names) == 1 else f"{' and '.join(names[:3])}, each by itself"


class _Purge:
    def __init__(self, huey: Any, classes: frozenset[str], dry_run: bool, kept: bool) -> None:
        self._store: Store = open_store(huey)
        self._keys = Keys(huey)
        self._reader = Reader(huey)
        self._live_ids = LiveTaskIds(self._store, open_ledger(huey), self._reader.ids)
        self._classes = classes
        self._dry_run = dry_run
        self._with_kept = kept
        self._found: Counter[str] = Counter()
        self._started = time.monotonic()
        self.stopped = ""

    def report(self) -> PurgeReport:
        seconds = time.monotonic() - self._started
        return PurgeReport(
            **self._found, seconds=seconds, stopped=self.stopped, dry_run=self._dry_run
        )

    def run(self, progress: Callable[[PurgeReport], object]) -> None:
        some: list[Entry] = []
        for batch in self._store.entries():
            some += [entry for entry in batch if self._is_meant(entry)]
            if len(some) >= _AT_ONCE or sum(entry.size for entry in some) >= _AT_ONCE_BYTES:
                self._delete(some)
                some = []
            progress(self.report())
        self._delete(some)
        progress(self.report())

    def _is_meant(self, entry: Entry) -> bool:
        self._found["scanned"] += 1
        if self._keys.kind(entry.key) is not Kind.RESULT:
            return False
        try:
            value = self._reader.value(entry.value)
        except Unreadable:
            self._found["unreadable"] += 1
            return False
        if not isinstance(value, Error):
            return False
        self._found["errors"] += 1
        if class_of(value) not in self._classes:
            return False
        self._found["matched"] += 1
        if "expires" in value.metadata:
            self._found["expiring"] += 1
            return False
        if is_kept(value) and not self._with_kept:
            self._found["kept"] += 1
            return False
        if not self._keys.is_of_this_queue(entry.key, value.metadata.get("task_id")):
            self._found["undecided"] += 1
            return False
        return True

    def _delete(self, some: list[Entry]) -> None:
        if not some:
            return
        # After the errors were read: a task that stores one and goes on is found where it goes.
        self._found["undecided"] += len(some)
        self._live_ids.refresh()
        if not self._live_ids.complete:
            self.stopped = "a message cannot be read: its task may still come to run"
            return
        done = [(entry.key, entry.value) for entry in some if not self._live_ids.has(entry.key)]
        pending = len(some) - len(done)
        gone = len(done) if self._dry_run else len(self._store.compare_and_delete_many(done))
        self._found.update(pending=pending, deleted=gone, undecided=-pending - gone)
