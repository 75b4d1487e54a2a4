"""``RedisExpireStorage``: each result is a key of its own, and Redis removes it."""

from __future__ import annotations

from typing import Any

from ._entry import Entry


class RedisKeys:
    """Sets the time with the value, instead of the storage's own expire time."""

    def put(self, storage: Any, entry: Entry) -> None:
        """One round trip."""
        key = storage.result_key(entry.key)
        pipe = storage.conn.pipeline()
        pipe.set(key, entry.value, px=entry.milliseconds)
        notify(storage, pipe, entry.key)
        pipe.execute()

    def schedule(self, storage: Any, entry: Entry) -> None:
        """One round trip."""
        storage.conn.pexpire(storage.result_key(entry.key), entry.milliseconds)

    def delete_due(self, storage: Any, now: float) -> bool:
        """Nothing: Redis does it."""
        return False


def notify(storage: Any, pipe: Any, key: str) -> None:
    """Wake who waits for the result, where the storage was told to (Huey 3.0 and later)."""
    if getattr(storage, "notify_result", False):
        name = storage.notify_prefix + key
        pipe.lpush(name, b"1")
        pipe.expire(name, storage.notify_result_ttl)
