"""Share totals among processes: files in one folder, one file per process.

Prometheus scrapes one address, but behind it may be any of several processes. So each process
writes its totals to a file, and the process that is scraped adds up the files.
"""

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
"""Seconds between two writes of the totals, if they have changed."""

FOLD_SECONDS = 30.0
"""Seconds between two folds of the files of ended processes."""


class SharedTotals(Sources):
    """The sources of this process, and the totals of the other processes that share its folder.

    The totals of an ended process stay included while the folder exists.

    Args:
        folder: The path of the folder. By default a temporary folder, which is created just before
            the first fork, so that a process shares it with the processes that it forks. It is
            removed when the process that created it ends.
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__()
        self._folder = None if folder is None else TotalsFolder(folder, self._report)
        self._is_temporary = folder is None
        self._is_removed = False
        self._reported: set[str] = set()
        self._new_file()
        _all.add(self)

    def _after_fork(self) -> None:
        super()._after_fork()
        self._new_file()

    def _new_file(self) -> None:
        # A random name, because the number of an ended process may be given to another one.
        self._file_name = f"{PREFIX}{uuid4().hex}{SUFFIX}"
        self._written: Totals = {}
        self._is_creator = False
        self._next_fold = 0.0
        self._write_lock = RenewedLock()

    def all_totals(self) -> Totals:
        """Return the totals of all processes; a file that cannot be read is logged once."""
        totals = self.totals()
        if self._folder is not None:
            merge(totals, self._folder.totals(self._file_name))
        return totals

    def write(self) -> None:
        """Write the file of this process, if others can read it and the totals have changed."""
        folder = self._folder
        if folder is None:
            return
        with self._write_lock:
            totals = self.totals()
            if totals != self._written:
                self._replace(folder.path, totals)
                self._written = totals
            if time.monotonic() >= self._next_fold:
                self._next_fold = time.monotonic() + FOLD_SECONDS
                if folder.fold(self._file_name):
                    self._next_fold = 0.0

    def _replace(self, folder: str, totals: Totals) -> None:
        if not self._is_temporary:
            os.makedirs(folder, exist_ok=True)
        elif not os.path.isdir(folder):
            return  # the process that created it has ended, so none is scraped
        process = this_process()
        content = {
            "place": (process.host, process.pid_namespace, process.pid, process.start_time),
            **dump(totals),
        }
        replace_file(os.path.join(folder, self._file_name), json.dumps(content))

    def before_fork(self) -> None:
        """Create the temporary folder, if there are sources and it was not created yet."""
        if self and self._folder is None and not self._is_removed:
            try:
                self._folder = TotalsFolder(tempfile.mkdtemp(prefix=PREFIX), self._report)
            except OSError as exc:
                self._report("a temporary folder for Prometheus", exc)
                return
            self._is_creator = True
            atexit.register(self._remove)

    def _remove(self) -> None:
        if self._is_creator and self._folder is not None:
            folder, self._folder, self._is_removed = self._folder, None, True
            shutil.rmtree(folder.path, ignore_errors=True)

    def _report(self, path: str, exc: Exception) -> None:
        if path not in self._reported:
            self._reported.add(path)
            text = "Some counts are missing in Prometheus: could not use %s: %r"
            log_error(text, path, exc, path=path)


_all: WeakSet[SharedTotals] = WeakSet()


def _before_fork() -> None:
    for shared in list(_all):
        shared.before_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
