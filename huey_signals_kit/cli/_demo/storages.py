"""Storages for the rounds of the demo, which are deleted afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from huey import RedisHuey, SqliteHuey

from . import redis

# Only lower-case letters and digits: Huey removes all other characters from its keys.
_NAME_PREFIX = "hueysignalsdemo"


@dataclass(frozen=True)
class DemoStorage:
    """The storage of one round, as plain values that an environment variable can hold."""

    kind: str
    """``"redis"`` or ``"sqlite"``."""
    location: str
    """The URL of the Redis, or the path of the SQLite file."""
    queue: str

    @property
    def printable_location(self) -> str:
        """The location without passwords."""
        return redis.mask_url(self.location) if self.kind == "redis" else self.location

    def open(self) -> Any:
        """Return a new Huey on this storage."""
        if self.kind == "redis":
            return RedisHuey(self.queue, url=self.location)
        # Waiting for the disk would hide every other difference between the rounds.
        return SqliteHuey(self.queue, filename=self.location, fsync=False)


class StorageFactory:
    """A factory of storages with queue names that no other program uses."""

    def __init__(self, folder: Path, redis_url: str | None) -> None:
        """Choose a new prefix for the names of queues.

        Args:
            folder: Folder for SQLite files.
            redis_url: Redis to use instead.
        """
        self._folder = folder
        self._redis_url = redis_url
        self._prefix = _NAME_PREFIX + uuid4().hex[:12]

    def create(self, label: str) -> DemoStorage:
        """Return the storage of the round `label`."""
        kind = "redis" if self._redis_url else "sqlite"
        location = self._redis_url or str(self._folder / f"{label}.db")
        return DemoStorage(kind, location, self._prefix + label)

    def create_shop(self) -> DemoStorage:
        """Return the storage of the shop; on SQLite the queue is named ``shop``."""
        storage = self.create("shop")
        return storage if self._redis_url else replace(storage, queue="shop")

    def clear(self) -> None:
        """Delete every key of these storages from Redis; the owner of the folder deletes files."""
        if self._redis_url:
            redis.delete_keys(self._redis_url, self._prefix)


@contextmanager
def storage_factory(folder: Path, redis_url: str | None) -> Iterator[StorageFactory]:
    """Yield a factory, and delete the keys of its storages at the end.

    Args:
        folder: Folder for SQLite files.
        redis_url: Redis to use instead.
    """
    factory = StorageFactory(folder, redis_url)
    advice = f"keys with {_NAME_PREFIX} in their names may be left there"
    with redis.redis_errors(redis_url, advice):
        try:
            yield factory
        finally:
            factory.clear()
