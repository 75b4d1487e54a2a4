"""The backend for ``FileStorage``: one file for each result and each message.

The file of a result has 4 bytes with the length of its key, the key, and the value. Reading takes
no lock, as in Huey; deleting and replacing take the storage's lock for each file, so that Huey
never waits for long.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from huey.constants import EmptyData

from ..protocol import LARGEST, Entry
from .batches import as_bytes, as_text, chunks, fetch_in_batches, make_entry

_HEADER = 4
_LONGEST_KEY = 1024 * 1024
"""Bytes of the longest key; a file that claims a longer one is not a result."""


@contextmanager
def file_lock(storage: Any) -> Iterator[None]:
    """Hold the lock of a ``FileStorage``, which its processes share, in any thread.

    Huey's own lock object is not used for it: before Huey 3.4 a ``FileLock`` has one descriptor for
    all threads of a process, and if two threads use it at once, it is never released. So this opens
    a descriptor of its own on the same file.
    """
    path = getattr(storage.lock, "filename", None)
    if path is None:
        with storage.lock:
            yield
        return
    import fcntl

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class FileStore:
    """A `Store` on a ``FileStorage``."""

    name = "file"
    newest_first = False

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """Yield entries: walk through the folders, read each file's key, then its value."""
        sizes = self._sizes(as_bytes(prefix))
        for batch in fetch_in_batches(sizes, lambda files: dict(self._values(files))):
            yield [make_entry(as_text(key), size, value) for (_, key), size, value in batch]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield keys: walk through the folders and read each file's key."""
        sizes = self._sizes(as_bytes(prefix))
        yield from chunks(as_text(key) for (_, key), _ in sizes)

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the values, each from its file."""
        return [self._peek(as_bytes(key)) for key in keys]

    def _peek(self, key: bytes) -> bytes | None:
        try:
            value = self._storage.peek_data(key)
        except FileNotFoundError:  # deleted after Huey had checked that the file exists
            return None
        except struct.error:  # Huey before 3.0 writes files in place, and has only begun this one
            return None
        return None if value is EmptyData else value

    def put(self, key: str, value: bytes) -> None:
        """Write a value."""
        with file_lock(self._storage):
            self._write(self.path(key), key, value)

    def put_unlocked(self, key: str, value: bytes) -> None:
        """Write a value without a lock, if only one thread ever writes it."""
        self._write(self.path(key), key, value)

    def path(self, key: str) -> str:
        """Return the path of the file of `key`."""
        return str(self._storage.path_for_key(as_bytes(key)))

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Write a value if the key is missing; Huey before 3.0 checks without the lock."""
        path = self.path(key)
        with file_lock(self._storage):
            if os.path.exists(path):
                return False
            self._write(path, key, value)
        return True

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the files one by one."""
        deleted = 0
        for key in keys:
            with file_lock(self._storage), suppress(FileNotFoundError):
                os.unlink(self.path(key))
                deleted += 1
        return deleted

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete the key if it has this value."""
        with file_lock(self._storage):
            if self.get([key]) != [value]:
                return False
            os.unlink(self.path(key))
            return True

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """Delete the pairs one by one."""
        return [key for key, value in pairs if self.compare_and_delete(key, value)]

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value is `old`."""
        with file_lock(self._storage):
            if self.get([key]) != [old]:
                return False
            self._write(self.path(key), key, new)
            return True

    def queued(self) -> Iterator[list[bytes]]:
        """Yield the messages of the queue: list the files, then read each."""
        return self._messages(self._storage.queue_path)

    def scheduled(self) -> Iterator[list[bytes]]:
        """Yield the messages of the schedule: list the files, then read each."""
        return self._messages(self._storage.schedule_path)

    def queue_ends(self) -> list[bytes]:
        """Return the first and the last message: list the files, then read these two."""
        paths = _message_paths(self._storage.queue_path)
        ends = (next(_contents(some), None) for some in (paths, paths[::-1]))
        return [end[1] for end in ends if end is not None]

    def next_scheduled(self) -> bytes | None:
        """Return the message whose file has the earliest time in its name."""
        paths = _message_paths(self._storage.schedule_path)
        return next((message for _, message in _contents(paths)), None)

    def _write(self, path: str, key: str, value: bytes) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        raw_key = as_bytes(key)
        with open(f"{path}.tmp", "wb") as file:
            file.write(struct.pack(">I", len(raw_key)) + raw_key + value)
        os.replace(f"{path}.tmp", path)

    def _sizes(self, prefix: bytes) -> Iterator[tuple[tuple[str, bytes], int]]:
        """Yield path and key of each result whose key begins with `prefix`, with its size."""
        for path in _result_paths(self._storage.result_path):
            with suppress(FileNotFoundError):
                key, size = _key_and_size(path)
                if key is None:
                    # Huey before 3.0 writes files in place: wait until this one is complete. If
                    # it is still not a result then, it is broken.
                    with file_lock(self._storage):
                        key, size = _key_and_size(path)
                if key is not None and key.startswith(prefix):
                    yield (path, key), size

    def _values(self, files: list[tuple[str, bytes]]) -> Iterator[tuple[tuple[str, bytes], bytes]]:
        for path, key in files:
            with suppress(FileNotFoundError), open(path, "rb") as file:
                file.seek(_HEADER + len(key))
                yield (path, key), file.read(LARGEST)

    def _messages(self, folder: str) -> Iterator[list[bytes]]:
        sizes = _message_sizes(folder)
        for batch in fetch_in_batches(sizes, lambda paths: dict(_contents(paths))):
            yield [message or b"" for _, _, message in batch]


def _result_paths(folder: str) -> Iterator[str]:
    for root, _, names in os.walk(folder):
        yield from (os.path.join(root, name) for name in names if not name.endswith(".tmp"))


def _message_sizes(folder: str) -> Iterator[tuple[str, int]]:
    """Yield the path of each message, in the order of the queue, with its size."""
    for path in _message_paths(folder):
        with suppress(FileNotFoundError):  # dequeued meanwhile
            yield path, os.path.getsize(path)


def _message_paths(folder: str) -> list[str]:
    """Return the path of each message, in the order of the queue."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [os.path.join(folder, name) for name in sorted(names) if not name.endswith(".tmp")]


def _contents(paths: list[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        with suppress(FileNotFoundError), open(path, "rb") as file:
            yield path, file.read(LARGEST)


def _key_and_size(path: str) -> tuple[bytes | None, int]:
    """Return the key of a result and the size of its value; None and 0 if it is incomplete."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size - _HEADER
        length = int.from_bytes(file.read(_HEADER), "big")
        key = file.read(length) if length <= min(size, _LONGEST_KEY) else None
        return (key, size - length) if key is not None and len(key) == length else (None, 0)
