"""Read a folder with a file of totals for each process, and fold the files of ended processes.

Processes come and go, so the files of ended ones would fill the folder, but deleting them would
make counters go back. So their totals are folded into one common file. A process may be killed at
any moment of this, and a file must count neither twice nor not at all. The file of an ended
process is folded in two steps, under a lock:

1. The common file is replaced by one that includes the totals, and names the file.
2. The file is deleted.

A reader skips every file that the common file names, and reads all files again if the common file
was replaced meanwhile. So each count is read once, wherever a process was killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ..metrics.serialize import dump, load
from ..metrics.values import Totals, merge
from ..runtime.process_id import ProcessId, parse_process

PREFIX = "huey-signals-"
SUFFIX = ".json"
ENDED = f"{PREFIX}ended{SUFFIX}"
LOCK = f"{PREFIX}ended.lock"
MAX_FILES = 500
"""The number of files that one call of `TotalsFolder.fold` folds at most."""

_TRIES = 100


@dataclass(frozen=True)
class _File:
    """The content of one file."""

    version: tuple[int, ...]
    """The version of the file that was read."""
    totals: Totals
    process: ProcessId | None
    """The process that wrote the file; None for the common file."""
    names: frozenset[str]
    """The files whose totals are included in this one."""

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended, as far as its own host can tell."""
        return self.process is not None and self.process.is_alive() is False


class TotalsFolder:
    """The files of one folder.

    Args:
        path: The path of the folder.
        report: Called with a path that cannot be used, and the exception.
    """

    def __init__(self, path: str, report: Callable[[str, Exception], None]) -> None:
        self.path = path
        self._report = report
        self._cache: dict[str, _File] = {}

    def totals(self, own: str) -> Totals:
        """Return the totals of all files that can be read.

        Args:
            own: The name of this process's file, which is left out.
        """
        for _ in range(_TRIES):
            before = self._version(ENDED)
            ended = self._read(ENDED)
            files = self._files(own, ended)
            if self._version(ENDED) == before:
                break
        totals: Totals = {}
        for file in (*files.values(), ended):
            if file is not None:
                merge(totals, file.totals)
        return totals

    def fold(self, own: str) -> bool:
        """Fold files of ended processes, and return whether there may be more.

        Nothing is folded while another process is folding, or where the folder cannot be locked.

        Args:
            own: The name of this process's file, which is left out.
        """
        if not self._can_fold(own):
            return False  # without acquiring the lock
        try:
            with _locked(os.path.join(self.path, LOCK)):
                return self._fold(own)
        except (ImportError, OSError):  # Windows, or a file system without locks
            return False

    def _can_fold(self, own: str) -> bool:
        ended = self._read(ENDED)
        files = self._files(own, ended)
        return any(file.has_ended for file in files.values()) or bool(self._half_folded(ended))

    def _half_folded(self, ended: _File | None) -> frozenset[str]:
        """Return the files that are included in the common file and not deleted yet."""
        return frozenset() if ended is None else ended.names.intersection(self._names())

    def _fold(self, own: str) -> bool:
        ended = self._read(ENDED)
        if ended is None and self._version(ENDED) is not None:
            return False  # unreadable: replacing it would lose its totals
        files = self._files(own, ended)
        gone = [name for name, file in files.items() if file.has_ended][:MAX_FILES]
        half_folded = self._half_folded(ended)
        if gone:
            totals: Totals = dict(ended.totals) if ended else {}
            for name in gone:
                merge(totals, files[name].totals)
            content = {"names": [*half_folded, *gone], **dump(totals)}
            replace_file(os.path.join(self.path, ENDED), json.dumps(content))
        for name in (*half_folded, *gone):
            for path in (name, f"{name}.new"):
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.path, path))
        return len(gone) == MAX_FILES

    def _files(self, own: str, ended: _File | None) -> dict[str, _File]:
        """Return the files without `own`, the common file, and the files included in that."""
        left_out = {own, ENDED} | (ended.names if ended else frozenset())
        read = {name: self._read(name) for name in self._names() if name not in left_out}
        files = {name: file for name, file in read.items() if file is not None}
        self._cache = {**files, **({ENDED: ended} if ended else {})}
        return files

    def _names(self) -> list[str]:
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as exc:
            self._report(self.path, exc)
            return []
        return [name for name in names if name.startswith(PREFIX) and name.endswith(SUFFIX)]

    def _version(self, name: str) -> tuple[int, ...] | None:
        """Return values that change when a file is replaced; None if there is no file."""
        try:
            stat = os.stat(os.path.join(self.path, name))
        except OSError:
            return None
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size)

    def _read(self, name: str) -> _File | None:
        path = os.path.join(self.path, name)
        try:
            version, known = self._version(name), self._cache.get(name)
            if version is None or (known is not None and known.version == version):
                return known if version is not None else None
            with open(path, "rb") as file:
                content: Any = json.loads(file.read())
            names = frozenset(map(str, content.get("names", ())))
            return _File(version, load(content), _process(content), names)
        except FileNotFoundError:
            return None
        except Exception as exc:
            self._report(path, exc)
            return None


def replace_file(path: str, text: str) -> None:
    """Replace the text of a file atomically."""
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def _process(content: dict[str, Any]) -> ProcessId | None:
    if "place" not in content:
        return None
    return parse_process(*content["place"])


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock of the folder; a child that is forked meanwhile does not inherit it.

    Raises:
        OSError: Another process holds the lock, or the file system has no locks.
        ImportError: The operating system has no such locks.
    """
    import fcntl

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
