"""Where a round's queue lives, and what is left of it afterwards: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from huey import RedisHuey, SqliteHuey

from .._shared import redis


@dataclass(frozen=True)
class Place:
    """One queue: the kind of storage, its file or URL, the name of the queue."""

    storage: str
    location: str
    name: str

    @property
    def shown(self) -> str:
        """The location as it may be shown: a URL without its password."""
        return redis.masked(self.location) if self.storage == "redis" else self.location

    def open(self) -> Any:
        """A new Huey on this queue."""
        if self.storage == "redis":
            return RedisHuey(self.name, url=self.location)
        # Nothing here outlives the demo, and waiting for the disk would hide all else.
        return SqliteHuey(self.name, filename=self.location, fsync=False)


# Only lower-case letters and digits: Huey leaves all else out of its keys.
_NAME = "hueysignalsdemo"


class StorageFactory:
    """Makes places in one storage, under names that nobody else has."""

    def __init__(self, folder: Path, redis_url: str | None) -> None:
        self.storage = "redis" if redis_url else "sqlite"
        self._folder = folder
        self._redis_url = redis_url
        self._prefix = _NAME + uuid4().hex[:12]

    def place(self, label: str) -> Place:
        """A place of its own for the round *label*."""
        location = self._redis_url or str(self._folder / f"{label}.db")
        return Place(self.storage, location, self._prefix + label)

    def clear(self) -> None:
        """Remove every key of these places from Redis; the folder is its owner's to remove."""
        if self._redis_url:
            redis.delete_keys(self._redis_url, self._prefix)


@contextmanager
def storage_factory(folder: Path, redis_url: str | None) -> Iterator[StorageFactory]:
    """Ground to make places on, in *folder* or on a Redis, cleared in the end."""
    found = StorageFactory(folder, redis_url)
    with redis.storage_errors(redis_url, f"keys with {_NAME} in their names may be left there"):
        try:
            yield found
        finally:
            found.clear()
