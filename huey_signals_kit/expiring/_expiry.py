"""Stores errors that expire, and removes those that are due."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from huey import storage as storages
from huey.utils import Error

from ..runtime.fork import reset_in_child
from ..runtime.log import ErrorReporter, is_away
from ..runtime.scheduler import JobGroup, scheduler
from ._entry import Entry, ExpiringBackend, as_text, small_error
from ._files import Files
from ._peewee import PeeweeRows
from ._redis_hash import RedisHash
from ._redis_keys import RedisKeys
from ._remembered import InMemoryIndex, MemoryResults
from ._sql import POSTGRES, SQLITE

REAP_SECONDS = 5.0
"""How often a process looks for what is due, one cheap query each time.

So much longer than asked for an error may stay on a storage without a time to live. Whoever
waited for it has read it by then, and each consumer process pays for every look.
"""


class Expiry:
    """The errors of one Huey that expire.

    *failed* is called where the storage turned out to be unlike Huey's, or refuses the kit's own
    keys: then the error is stored as Huey does, and this process removes it.

    A known storage of Huey, or a subclass of one that leaves ``put_data`` as it is, knows
    itself what is due: any process removes it. On any other storage only this process does:
    what a killed one has stored stays, as it does when the kit is uninstalled before it is due.
    """

    def __init__(self, huey: Any, jobs: JobGroup, reporter: ErrorReporter) -> None:
        self._huey = huey
        self._jobs = jobs
        self._failed = reporter.kit_failed
        self._begun = False
        self._remembered = InMemoryIndex()
        self._families: dict[str, ExpiringBackend] = {
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
        self._lock = threading.RLock()  # reentrant: a signal handler may interrupt its holder

    def begin(self) -> None:
        """Look for what is due from the next tick on; nothing happens when it does already."""
        with self._lock:
            if not self._begun:
                self._begun = True
                # Not at the end: other processes remove errors too, and a script must not wait.
                # Apart: a slow storage must not delay the heartbeat.
                self._jobs.every(
                    REAP_SECONDS,
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
        inner: Callable[[Error], Any] | None = None,
        whole: bool = False,
    ) -> Any:
        """Store *error* under *key* for *seconds*, shortened unless its text is *whole*.

        *inner* stores it where ``put_result`` is not Huey's own: then it takes two more round
        trips to find what has been stored, and to have it expire. A process that is killed
        between the two leaves it for good. If the storage is unreachable, its exception is raised.
        """
        if not self._begun:
            self.begin()
        if scheduler.thread is None:
            scheduler.start()
        due = time.time() + seconds
        small = small_error(error.metadata, due, self._huey.serializer.serialize, whole)
        if inner is not None:
            answer = inner(small)
            try:
                self._mark(key, seconds, due)
            except Exception as exc:  # the error is stored, as without a kit
                self._failed("having an error expire", exc)
            return answer
        value = self._huey.serializer.serialize(small)
        return self._with_fallback("put", Entry(as_text(key), value, seconds, due))

    def delete_due(self) -> None:
        """Remove all that is due by now."""
        storage, now = self._huey.storage, time.time()
        try:
            while self._family(storage).delete_due(storage, now):
                pass
        finally:  # what could not be stored as that family does is here
            while self._remembered.delete_due(storage, now):
                pass

    def _mark(self, key: Any, seconds: float, due: float) -> None:
        # Whoever overrides put_result may have stored it elsewhere, changed it, or not at all.
        raw = self._huey.storage.peek_data(key)
        if not isinstance(raw, (bytes, memoryview)):
            return
        try:
            found = self._huey.serializer.deserialize(bytes(raw))
        except Exception:
            return
        if isinstance(found, Error) and found.metadata.get("expires") == due:
            self._with_fallback("schedule", Entry(as_text(key), bytes(raw), seconds, due))

    def _with_fallback(self, what: str, entry: Entry) -> Any:
        storage = self._huey.storage
        try:
            return getattr(self._family(storage), what)(storage, entry)
        except Exception as exc:
            if is_away(exc):
                raise
            self._failed("storing an error that expires", exc)
            return getattr(self._remembered, what)(storage, entry)

    def _family(self, storage: Any) -> ExpiringBackend:
        put_data = getattr(storage.put_data, "__func__", None)
        written_in = getattr(put_data, "__globals__", {}).get("__name__")
        if written_in == storages.__name__:
            for name, family in self._families.items():
                if isinstance(storage, getattr(storages, name, ())):
                    return family
        sql_huey: Any = sys.modules.get("huey.contrib.sql_huey")
        if sql_huey and written_in == sql_huey.__name__:
            return self._peewee
        return self._remembered
