"""Totals that processes tell each other: files in one folder, one file per process."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import time
from uuid import uuid4
from weakref import WeakSet

from ..metrics.serialize import dump
from ..metrics.values import Totals, merge
from ..runtime.log import log_error
from ..runtime.process_id import this_process
from ..runtime.threads import RenewedLock
from ._sources import Sources
from ._totals_folder import PREFIX, SUFFIX, TotalsFolder, replace_file

WRITE_SECONDS = 1.0
"""How often a process writes what has changed."""

FOLD_SECONDS = 30.0
"""Seconds between two folds of the files of ended processes."""


class SharedTotals(Sources):
    """The sources of this process, and what every other process that shares *folder* counted.

    Without a *folder* there is a temporary one, made just before the first fork, so that a
    process and those it forks share it; it is gone when the process that made it ends. What
    an ended process wrote keeps counting as long as the folder is there.
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__()
        self._folder = None if folder is None else TotalsFolder(folder, self._report)
        self._temporary = folder is None
        self._removed = False
        self._reported: set[str] = set()
        self._new_file()
        _all.add(self)

    def _after_fork(self) -> None:
        super()._after_fork()
        self._new_file()

    def _new_file(self) -> None:
        # Never by process id, which may be another process's tomorrow.
        self._own = f"{PREFIX}{uuid4().hex}{SUFFIX}"
        self._written: Totals = {}
        self._made_here = False
        self._fold_at = 0.0
        self._writing = RenewedLock()

    def all_totals(self) -> Totals:
        """This process's totals and the others'; what cannot be read is reported once."""
        found = self.totals()
        if self._folder is not None:
            merge(found, self._folder.totals(self._own))
        return found

    def write(self) -> None:
        """Tell the other processes, if there are any and something has changed."""
        folder = self._folder
        if folder is None:
            return
        with self._writing:
            now = self.totals()
            if now != self._written:
                self._replace(folder.path, now)
                self._written = now
            if time.monotonic() >= self._fold_at:
                self._fold_at = time.monotonic() + FOLD_SECONDS
                if folder.fold(self._own):
                    self._fold_at = 0.0

    def _replace(self, folder: str, totals: Totals) -> None:
        if not self._temporary:
            os.makedirs(folder, exist_ok=True)
        elif not os.path.isdir(folder):
            return  # who made it has ended, and nobody asks any more
        place = this_process()
        content = {
            "place": (place.host, place.pid_namespace, place.pid, place.start_time),
            **dump(totals),
        }
        replace_file(os.path.join(folder, self._own), json.dumps(content))

    def before_fork(self) -> None:
        """Make the temporary folder, if there is something to share and none was made yet."""
        if self and self._folder is None and not self._removed:
            try:
                self._folder = TotalsFolder(tempfile.mkdtemp(prefix=PREFIX), self._report)
            except OSError as exc:
                self._report("a temporary folder for Prometheus", exc)
                return
            self._made_here = True
            atexit.register(self._remove)

    def _remove(self) -> None:
        if self._made_here and self._folder is not None:
            folder, self._folder, self._removed = self._folder, None, True
            shutil.rmtree(folder.path, ignore_errors=True)

    def _report(self, what: str, exc: Exception) -> None:
        if what not in self._reported:
            self._reported.add(what)
            text = "Some counts are missing in Prometheus: could not use %s: %r"
            log_error(text, what, exc, path=what)


_all: WeakSet[SharedTotals] = WeakSet()


def _before_fork() -> None:
    for each in list(_all):
        each.before_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
