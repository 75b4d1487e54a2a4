"""`Expiry`: stores the errors of one Huey that expire, and deletes those that are due."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from huey import storage as storages
from huey.utils import Error

from ..runtime.fork import reset_in_child
from ..runtime.log import ErrorReporter, is_unreachable
from ..runtime.scheduler import JobGroup, scheduler
from ..store import open_store
from ._entry import Entry, ExpiringBackend, as_text, small_error
from ._files import Files
from ._memory import InMemoryIndex, MemoryResults
from ._redis import RedisHash, RedisKeys
from ._sql import POSTGRES, SQLITE, PeeweeRows

DELETE_SECONDS = 5.0
"""Seconds between two deletions of a process.

On a storage without a time to live an error may stay so much longer. That does no harm, as a caller
who waits for it has read it by that time, and each query costs each consumer process something.
"""


class Expiry:
    """The errors of one Huey that expire.

    On a storage of Huey, or a subclass that does not override ``put_data``, an index is stored
    beside the errors, so any process deletes them. On any other storage this process has the index
    in memory: errors stay if it is killed, or if the kit is uninstalled before they are due. The
    same index is used if a storage turns out to be unlike Huey's or refuses the kit's own keys.

    Args:
        huey: The Huey.
        jobs: The group to which the job that deletes errors is added.
        reporter: Logs unexpected errors of a storage.
    """

    def __init__(self, huey: Any, jobs: JobGroup, reporter: ErrorReporter) -> None:
        self._huey = huey
        self._jobs = jobs
        self._failed = reporter.kit_failed
        self._has_begun = False
        self._in_memory = InMemoryIndex()
        self._backends: dict[str, ExpiringBackend] = {
            "RedisExpireStorage": RedisKeys(),
            "RedisStorage": RedisHash(),
            "SqliteStorage": SQLITE,
            "PostgresStorage": POSTGRES,
            "FileStorage": Files(),
            "MemoryStorage": MemoryResults(),
        }
        self._peewee = PeeweeRows()
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # reentrant: a Unix signal handler may interrupt its holder

    def begin(self) -> None:
        """Delete errors that are due, every `DELETE_SECONDS` from now on."""
        with self._lock:
            self._has_begun = True
            # Not at exit, as other processes delete errors too, and a script should not wait. On
            # its own thread, as a slow storage should not delay the heartbeat.
            self._jobs.every(
                DELETE_SECONDS,
                self.delete_due,
                "expired errors",
                first=0,
                run_at_exit=False,
                own_thread=True,
            )

    def put(
        self,
        key: Any,
        error: Error,
        seconds: float,
        put_error: Callable[[Error], Any] | None = None,
        whole: bool = False,
    ) -> Any:
        """Store an error for some seconds; return what the storage returned.

        If ``put_result`` is overridden, it stores the error, and two more round trips find out what
        it has stored and have that deleted. An error stays if the process is killed between them.

        Args:
            key: The key of the result.
            error: The error.
            seconds: Seconds until it expires.
            put_error: Stores an error by an overridden ``put_result``; None if that is Huey's own.
            whole: Whether the text of the error must not be shortened.

        Raises:
            Exception: The storage's own exception, if it is unreachable.
        """
        self._ensure_deletion()
        due = time.time() + seconds
        small = small_error(error.metadata, due, self._huey.serializer.serialize, whole)
        if put_error is not None:
            answer = put_error(small)
            try:
                self._schedule_stored(key, seconds, due)
            except Exception as exc:  # the error is stored, as it would be without a kit
                self._failed("having an error expire", exc)
            return answer
        value = self._huey.serializer.serialize(small)
        return self._with_fallback("put", Entry(as_text(key), value, seconds, due))

    def replace(self, key: str, old: bytes, new: bytes, due: float) -> bool:
        """Replace a stored value by one that expires; return whether it was still `old`.

        Args:
            key: The key of the value.
            old: The stored value.
            new: The value that expires, serialized.
            due: When it expires, in seconds since the epoch.
        """
        self._ensure_deletion()
        store, storage = open_store(self._huey), self._huey.storage
        entry = Entry(key, new, due - time.time(), due)
        # If the process is killed between the two, no value stays that nothing would delete.
        if self._backend(storage).has_index:
            self._with_fallback("schedule", entry)
            return store.compare_and_set(key, old, new)
        if not store.compare_and_set(key, old, new):
            return False
        self._with_fallback("schedule", entry)
        return True

    def _ensure_deletion(self) -> None:
        if not self._has_begun:
            self.begin()
        if scheduler.thread is None:
            scheduler.start()

    def delete_due(self) -> None:
        """Delete all errors that are due."""
        storage, now = self._huey.storage, time.time()
        try:
            while self._backend(storage).delete_due(storage, now):
                pass
        finally:  # errors that that backend could not store are in the index in memory
            while self._in_memory.delete_due(storage, now):
                pass

    def _schedule_stored(self, key: Any, seconds: float, due: float) -> None:
        # An overridden put_result may have stored the error elsewhere, changed it, or dropped it.
        raw = self._huey.storage.peek_data(key)
        if not isinstance(raw, (bytes, memoryview)):
            return
        try:
            value = self._huey.serializer.deserialize(bytes(raw))
        except Exception:
            return
        if isinstance(value, Error) and value.metadata.get("expires") == due:
            self._with_fallback("schedule", Entry(as_text(key), bytes(raw), seconds, due))

    def _with_fallback(self, method: str, entry: Entry) -> Any:
        """Call a method of the backend; if that fails, call it on the index in memory."""
        storage = self._huey.storage
        try:
            return getattr(self._backend(storage), method)(storage, entry)
        except Exception as exc:
            if is_unreachable(exc):
                raise
            self._failed("storing an error that expires", exc)
            return getattr(self._in_memory, method)(storage, entry)

    def _backend(self, storage: Any) -> ExpiringBackend:
        put_data = getattr(storage.put_data, "__func__", None)
        module = getattr(put_data, "__globals__", {}).get("__name__")
        if module == storages.__name__:
            for name, backend in self._backends.items():
                if isinstance(storage, getattr(storages, name, ())):
                    return backend
        sql_huey: Any = sys.modules.get("huey.contrib.sql_huey")
        if sql_huey and module == sql_huey.__name__:
            return self._peewee
        return self._in_memory
