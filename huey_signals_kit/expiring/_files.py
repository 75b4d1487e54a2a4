"""The backend for ``FileStorage``: the index is files, in one folder for every ten seconds.

The name of a file begins with the time when its error is due; its content is the digest of the
error and the key of the result. The name of a folder is the time of its files, so folders of the
future are never listed. A process lists all folders when it starts and every ten minutes; otherwise
only those that came due since it last looked.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..store import file_lock
from ._entry import DIGEST_LENGTH, Entry, digest

FOLDER = ".huey-signals/expiring"
OLD_FOLDER = "huey-signals-expiring"
"""The folder of version 0.1, whose files are in no folders by time."""

BUCKET_SECONDS = 10
"""Seconds that one folder covers."""
_LIST_SECONDS = 600.0
"""Seconds after which a process lists all folders again."""
_is_bucket = re.compile(r"[0-9]{12}").fullmatch
_is_index_file = re.compile(r"[0-9]{15}-[0-9a-f]{32}(\.tmp)?").fullmatch
_MAX_ATTEMPTS = 10
_DELETED_UNDER_LOCK = 10
"""Errors that are deleted while the storage's lock is held, for which workers wait."""

_MAX_BYTES = 1 << 20
"""Bytes that are read of a file. An expiring error has fewer, so a longer value is another one."""

_GRACE_MS = 5_000
"""Milliseconds for which an index file without an error is kept, after its error was due. Its
process may be between writing the file and storing the error."""


class Files:
    """The backend for ``FileStorage``.

    The file of the index is written before the error is stored. If the process is killed between
    the two, only that file is left, and is deleted when it is due.
    """

    has_index = True

    def __init__(self) -> None:
        self._last_looks: dict[str, tuple[float, float]] = {}
        """For each path of a storage, when all folders were listed, and when any folders were."""

    def put(self, storage: Any, entry: Entry) -> Any:
        """Write the file of the index, then store the error as Huey does."""
        self.schedule(storage, entry)
        return storage.put_data(entry.key, entry.value, is_result=True)

    def schedule(self, storage: Any, entry: Entry) -> None:
        """Write the file of the index."""
        folder = Path(storage.path, FOLDER, f"{_bucket(entry.due_ms / 1000):012d}")
        name = f"{entry.due_ms:015d}-{uuid4().hex}"
        unfinished = folder / f"{name}.tmp"
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                unfinished.write_bytes(f"{entry.digest}{entry.key}".encode())
            except (FileExistsError, FileNotFoundError):  # another process just removed the folder
                if attempt == _MAX_ATTEMPTS:
                    raise
            else:
                break
        unfinished.replace(folder / name)

    def delete_due(self, storage: Any, now: float) -> bool:
        """Delete all errors that are due; return False, as none are left."""
        top = Path(storage.path)
        listed_all, last_look = self._last_looks.pop(storage.path, (0.0, 0.0))
        is_recent = last_look <= now < listed_all + _LIST_SECONDS
        folders = _recent_folders(top, last_look, now) if is_recent else _all_folders(top, now)
        last_complete = f"{_bucket(now) - 2 * BUCKET_SECONDS:012d}"
        for folder in folders:
            due = _due_files(folder, now)
            for start in range(0, len(due), _DELETED_UNDER_LOCK):
                _delete_errors(storage, due[start : start + _DELETED_UNDER_LOCK], now)
                time.sleep(0)  # let other greenlets run
            if folder.name <= last_complete or folder.name == OLD_FOLDER:
                with suppress(OSError):  # not empty
                    folder.rmdir()
        # Not reached after an exception, so that the next call lists all folders.
        self._last_looks[storage.path] = (listed_all if is_recent else now, now)
        return False


def _bucket(seconds: float) -> int:
    """Return the first second of the folder for a time."""
    return int(seconds // BUCKET_SECONDS * BUCKET_SECONDS)


def _all_folders(top: Path, now: float) -> list[Path]:
    """Return all folders that may have files that are due."""
    last_name = f"{_bucket(now):012d}"
    try:
        names = os.listdir(top / FOLDER)
    except FileNotFoundError:
        names = []
    due = [name for name in names if _is_bucket(name) and name <= last_name]
    return [top / OLD_FOLDER, *(top / FOLDER / name for name in due)]


def _recent_folders(top: Path, last_look: float, now: float) -> list[Path]:
    """Return the folders that may have files that came due since the last look."""
    first = _bucket(last_look - _GRACE_MS / 1000) - 2 * BUCKET_SECONDS
    numbers = range(first, _bucket(now) + 1, BUCKET_SECONDS)
    return [top / FOLDER / f"{number:012d}" for number in numbers]


def _due_files(folder: Path, now: float) -> list[Path]:
    end = f"{round(now * 1000) + 1:015d}"
    try:
        # Other programs may leave files here, such as .DS_Store.
        names = [name for name in os.listdir(folder) if _is_index_file(name) and name < end]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in names]


def _delete_errors(storage: Any, paths: list[Path], now: float) -> None:
    """Delete the errors of some files of the index, and the files."""
    records, finished = [], []
    for path in paths:
        with suppress(FileNotFoundError):  # deleted by another process
            records.append((path, _content(path).decode("utf-8", "replace")))
    with file_lock(storage):
        for path, record in records:
            if _delete_error(storage, record) or not _is_in_grace(path, now):
                finished.append(path)
    for path in finished:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _delete_error(storage: Any, record: str) -> bool:
    """Delete the error of a record; return whether there is a result under its key."""
    path = storage.path_for_key(record[DIGEST_LENGTH:])
    try:
        content = _content(path)
    except FileNotFoundError:
        return False
    key_length = int.from_bytes(content[:4], "big")
    if digest(content[4 + key_length :]) == record[:DIGEST_LENGTH]:
        os.unlink(path)
    return True


def _is_in_grace(path: Path, now: float) -> bool:
    return int(path.name[:15]) > now * 1000 - _GRACE_MS


def _content(path: Path | str) -> bytes:
    # Few system calls, as this thread may wait for the interpreter lock after each.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)
