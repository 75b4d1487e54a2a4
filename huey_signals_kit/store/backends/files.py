"""``FileStorage``: a file for each result, with its key inside, and one for each message."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from huey.constants import EmptyData

from ..protocol import LARGEST, Entry
from .batches import as_bytes, as_text, chunks, entry, fetched
from .file_lock import file_lock

_HEADER = 4
_LONGEST_KEY = 1024 * 1024  # more is no key


class FileStore:
    """Reading takes no lock, as in Huey; what deletes or replaces takes it for each file."""

    name = "file"
    atomic = True
    newest_first = False

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def entries(self, prefix: str = "") -> Iterator[list[Entry]]:
        """A walk through the folders, reading each file's key, then its value."""
        sizes = self._sizes(as_bytes(prefix))
        for batch in fetched(sizes, lambda found: dict(self._values(found))):
            yield [entry(as_text(key), size, value) for (_, key), size, value in batch]

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """The same walk."""
        sizes = self._sizes(as_bytes(prefix))
        yield from chunks(as_text(key) for (_, key), _ in sizes)

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """A file for each."""
        return [self._peek(as_bytes(key)) for key in keys]

    def _peek(self, key: bytes) -> bytes | None:
        try:
            value = self._storage.peek_data(key)
        except FileNotFoundError:  # it went just as Huey had seen that it was there
            return None
        return None if value is EmptyData else value

    def put(self, key: str, value: bytes) -> None:
        """Under the storage's lock."""
        with file_lock(self._storage):
            self._write(self.path(key), key, value)

    def put_unlocked(self, key: str, value: bytes) -> None:
        """Write a value without a lock, if only one thread ever writes it."""
        self._write(self.path(key), key, value)

    def path(self, key: str) -> str:
        """Return the path of the file of `key`."""
        return str(self._storage.path_for_key(as_bytes(key)))

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Under the lock that Huey's own takes only since 3.0."""
        path = self._storage.path_for_key(as_bytes(key))
        with file_lock(self._storage):
            if os.path.exists(path):
                return False
            self._write(path, key, value)
        return True

    def delete(self, keys: Iterable[str]) -> int:
        """A file for each."""
        deleted = 0
        for key in keys:
            with file_lock(self._storage), suppress(FileNotFoundError):
                os.unlink(self._storage.path_for_key(as_bytes(key)))
                deleted += 1
        return deleted

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Under the storage's lock."""
        with file_lock(self._storage):
            if self.get([key]) != [value]:
                return False
            os.unlink(self._storage.path_for_key(as_bytes(key)))
            return True

    def compare_and_delete_many(self, pairs: Iterable[tuple[str, bytes]]) -> list[str]:
        """One after another, so that nobody waits for long."""
        return [key for key, value in pairs if self.compare_and_delete(key, value)]

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Under the storage's lock."""
        with file_lock(self._storage):
            if self.get([key]) != [old]:
                return False
            self._write(self._storage.path_for_key(as_bytes(key)), key, new)
            return True

    def queued(self) -> Iterator[list[bytes]]:
        """The names of the files, then each of them."""
        return self._messages(self._storage.queue_path)

    def scheduled(self) -> Iterator[list[bytes]]:
        """The names of the files, then each of them."""
        return self._messages(self._storage.schedule_path)

    def _write(self, path: str, key: str, value: bytes) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        raw = as_bytes(key)
        with open(f"{path}.tmp", "wb") as file:
            file.write(struct.pack(">I", len(raw)) + raw + value)
        os.replace(f"{path}.tmp", path)

    def _sizes(self, prefix: bytes) -> Iterator[tuple[tuple[str, bytes], int]]:
        for path in _walk(self._storage.result_path):
            with suppress(FileNotFoundError):
                key, size = _key_and_size(path)
                if key is None:
                    # It was being written, if it is not broken: Huey before 3.0 does so in place.
                    with file_lock(self._storage):
                        key, size = _key_and_size(path)
                if key is not None and key.startswith(prefix):
                    yield (path, key), size

    def _values(self, found: list[tuple[str, bytes]]) -> Iterator[tuple[tuple[str, bytes], bytes]]:
        for path, key in found:
            with suppress(FileNotFoundError), open(path, "rb") as file:
                file.seek(_HEADER + len(key))
                yield (path, key), file.read(LARGEST)

    def _messages(self, folder: str) -> Iterator[list[bytes]]:
        sizes = _message_sizes(folder)
        for batch in fetched(sizes, lambda paths: dict(_contents(paths))):
            yield [message or b"" for _, _, message in batch]


def _walk(folder: str) -> Iterator[str]:
    for root, _, names in os.walk(folder):
        yield from (os.path.join(root, name) for name in names if not name.endswith(".tmp"))


def _names(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [os.path.join(folder, name) for name in sorted(names) if not name.endswith(".tmp")]


def _message_sizes(folder: str) -> Iterator[tuple[str, int]]:
    for path in _names(folder):
        with suppress(FileNotFoundError):  # a worker took it
            yield path, os.path.getsize(path)


def _contents(paths: list[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        with suppress(FileNotFoundError), open(path, "rb") as file:
            yield path, file.read(LARGEST)


def _key_and_size(path: str) -> tuple[bytes | None, int]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size - _HEADER
        length = int.from_bytes(file.read(_HEADER), "big")
        key = file.read(length) if length <= min(size, _LONGEST_KEY) else None
        return (key, size - length) if key is not None and len(key) == length else (None, 0)
