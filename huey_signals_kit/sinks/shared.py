"""Totals that processes tell each other: files in one folder, one file per process."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4
from weakref import WeakSet

from .._failures import complain
from .readings import Totals, merge
from .sources import Sources
from .written import plain, read

WRITE_SECONDS = 1.0
"""How often a process writes what has changed."""

_PREFIX = "huey-signals-"
_SUFFIX = ".json"


class SharedTotals(Sources):
    """The sources of this process, and what every other process that shares *folder* counted.

    Without a *folder* there is a temporary one, made just before the first fork, so that a
    process and those it forks share it; it is gone when the process that made it ends. What
    an ended process wrote keeps counting as long as its file is there.
    """

    def __init__(self, folder: str | None = None) -> None:
        super().__init__()
        self._folder = folder
        self._temporary = folder is None
        self._removed = False
        self._seen: dict[str, tuple[tuple[int, ...], Totals]] = {}
        self._reported: set[str] = set()
        self._new_file()
        _all.add(self)

    def _after_fork(self) -> None:
        super()._after_fork()
        self._new_file()

    def _new_file(self) -> None:
        # Never by process id, which may be another process's tomorrow.
        self._own = f"{_PREFIX}{uuid4().hex}{_SUFFIX}"
        self._written: Totals = {}
        self._made_here = False
        self._writing = threading.Lock()

    def all_totals(self) -> Totals:
        """This process's totals and the others'; what cannot be read is reported once."""
        found = self.totals()
        for more in self._of_others():
            merge(found, more)
        return found

    def write(self) -> None:
        """Tell the other processes, if there are any and something has changed."""
        if self._folder is None:
            return
        with self._writing:
            now = self.totals()
            if now != self._written:
                self._replace(self._folder, json.dumps(plain(now)))
                self._written = now

    def _replace(self, folder: str, text: str) -> None:
        if not self._temporary:
            os.makedirs(folder, exist_ok=True)
        elif not os.path.isdir(folder):
            return  # who made it has ended, and nobody asks any more
        path = os.path.join(folder, self._own)
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(text)
        os.replace(f"{path}.new", path)

    def before_fork(self) -> None:
        """Make the temporary folder, if there is something to share and none was made yet."""
        if self and self._folder is None and not self._removed:
            try:
                self._folder = tempfile.mkdtemp(prefix=_PREFIX)
            except OSError as exc:
                self._report("a temporary folder for Prometheus", exc)
                return
            self._made_here = True
            atexit.register(self._remove)

    def _remove(self) -> None:
        if self._made_here and self._folder is not None:
            folder, self._folder, self._removed = self._folder, None, True
            shutil.rmtree(folder, ignore_errors=True)

    def _of_others(self) -> Iterator[Totals]:
        folder = self._folder
        if folder is None:
            return
        seen = {}
        for name in self._files_of_others(folder):
            found = self._read(os.path.join(folder, name))
            if found is not None:
                seen[name] = found
                yield found[1]
        self._seen = seen

    def _files_of_others(self, folder: str) -> list[str]:
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
        except OSError as exc:
            self._report(folder, exc)
            return []
        ours = (each for each in names if each.startswith(_PREFIX) and each.endswith(_SUFFIX))
        return [name for name in ours if name != self._own]

    def _read(self, path: str) -> tuple[tuple[int, ...], Totals] | None:
        with suppress(FileNotFoundError):
            try:
                stat = os.stat(path)
                version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                known = self._seen.get(os.path.basename(path))
                if known is not None and known[0] == version:
                    return known
                with open(path, "rb") as file:
                    return version, read(json.loads(file.read()))
            except FileNotFoundError:
                raise
            except Exception as exc:
                self._report(path, exc)
        return None

    def _report(self, what: str, exc: Exception) -> None:
        if what not in self._reported:
            self._reported.add(what)
            text = "Some counts are missing in Prometheus: could not use %s: %r"
            complain(text, what, exc, path=what)


_all: WeakSet[SharedTotals] = WeakSet()


def _before_fork() -> None:
    for each in list(_all):
        each.before_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
