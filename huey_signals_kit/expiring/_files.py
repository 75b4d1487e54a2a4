"""``FileStorage``: files that say when errors expire, in one folder for each ten seconds.

The name of a folder says when its files are due, so files of the future are not read. All folders
are listed only when a process starts, and every ten minutes.
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
from ._entry import Entry, digest

FOLDER = ".huey-signals/expiring"
OLD_FOLDER = "huey-signals-expiring"
"""The folder of version 0.1, which has no folders by time."""

BUCKET_SECONDS = 10
_LIST_SECONDS = 600.0
_IS_BUCKET = re.compile(r"[0-9]{12}").fullmatch
_IS_OURS = re.compile(r"[0-9]{15}-[0-9a-f]{32}(\.tmp)?").fullmatch
_DIGEST = 40
_TRIES = 10
_LOCKED_TOGETHER = 10
"""How many errors are removed under the storage's lock, which workers wait for meanwhile."""

_MOST_BYTES = 1 << 20
"""An expiring error and its key take less, so a longer value is another result."""

_STILL_TO_COME_MS = 5_000
"""How long after its time a file waits for the error that it announces."""


class Files:
    """First a file with the digest and the key, then Huey stores the error.

    A process that was killed between the two leaves only that file, which goes in its time.
    """

    def __init__(self) -> None:
        self._looks: dict[str, tuple[float, float]] = {}
        """By path of a storage: when all folders were listed, and when it was last looked at."""

    def put(self, storage: Any, entry: Entry) -> Any:
        """Store *entry*, and write one more file that says when it is due."""
        self.schedule(storage, entry)
        return storage.put_data(entry.key, entry.value, is_result=True)

    def schedule(self, storage: Any, entry: Entry) -> None:
        """Write the file that says when *entry* is due."""
        folder = Path(storage.path, FOLDER, f"{_bucket(entry.due_ms / 1000):012d}")
        name = f"{entry.due_ms:015d}-{uuid4().hex}"
        unfinished = folder / f"{name}.tmp"
        for attempt in range(1, _TRIES + 1):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                unfinished.write_bytes(f"{entry.digest}{entry.key}".encode())
            except (FileExistsError, FileNotFoundError):  # another process just removed it
                if attempt == _TRIES:
                    raise
            else:
                break
        unfinished.replace(folder / name)

    def delete_due(self, storage: Any, now: float) -> bool:
        """Remove all errors that are due, and return False: none is left."""
        top = Path(storage.path)
        over = f"{_bucket(now) - 2 * BUCKET_SECONDS:012d}"
        listed, last = self._looks.pop(storage.path, (0.0, 0.0))
        is_recent = last <= now < listed + _LIST_SECONDS
        folders = _recent_folders(top, last, now) if is_recent else _all_folders(top, now)
        for folder in folders:
            due = _due(folder, now)
            for start in range(0, len(due), _LOCKED_TOGETHER):
                _remove(storage, due[start : start + _LOCKED_TOGETHER], now)
                time.sleep(0)  # greenlets have their turn
            if folder.name <= over or folder.name == OLD_FOLDER:
                with suppress(OSError):  # not empty
                    folder.rmdir()
        # After an exception this is not reached, so that the next call lists all folders.
        self._looks[storage.path] = (listed if is_recent else now, now)
        return False


def _bucket(seconds: float) -> int:
    return int(seconds // BUCKET_SECONDS * BUCKET_SECONDS)


def _all_folders(top: Path, now: float) -> list[Path]:
    """Return all folders that may have files that are due."""
    last = f"{_bucket(now):012d}"
    try:
        found = os.listdir(top / FOLDER)
    except FileNotFoundError:
        found = []
    names = [name for name in found if _IS_BUCKET(name) and name <= last]
    return [top / OLD_FOLDER, *(top / FOLDER / name for name in names)]


def _recent_folders(top: Path, last: float, now: float) -> list[Path]:
    """Return the folders that may have files that came due since the *last* look."""
    first = _bucket(last - _STILL_TO_COME_MS / 1000) - 2 * BUCKET_SECONDS
    numbers = range(first, _bucket(now) + 1, BUCKET_SECONDS)
    return [top / FOLDER / f"{number:012d}" for number in numbers]


def _due(folder: Path, now: float) -> list[Path]:
    last = f"{round(now * 1000) + 1:015d}"
    try:
        # Others may leave files here too, as .DS_Store.
        names = [name for name in os.listdir(folder) if _IS_OURS(name) and name < last]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in names]


def _remove(storage: Any, paths: list[Path], now: float) -> None:
    notes, done = [], []
    for path in paths:
        with suppress(FileNotFoundError):  # another process has removed it
            notes.append((path, _content(path).decode("utf-8", "replace")))
    with file_lock(storage):
        for path, noted in notes:
            if _remove_result(storage, noted) or not _is_to_come(path, now):
                done.append(path)
    for path in done:
        with suppress(FileNotFoundError):
            os.unlink(path)


def _remove_result(storage: Any, noted: str) -> bool:
    """Remove the error that a file announces; return whether there is a result under its key."""
    result = storage.path_for_key(noted[_DIGEST:])
    try:
        found = _content(result)
    except FileNotFoundError:
        return False
    key_length = int.from_bytes(found[:4], "big")
    if digest(found[4 + key_length :]) == noted[:_DIGEST]:
        os.unlink(result)
    return True


def _is_to_come(path: Path, now: float) -> bool:
    return int(path.name[:15]) > now * 1000 - _STILL_TO_COME_MS


def _content(path: Path | str) -> bytes:
    # Few system calls: after each one this thread may wait for the interpreter lock.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)
