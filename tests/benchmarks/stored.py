"""Bytes that a lock skip leaves in the result store, keys included."""

from __future__ import annotations

from collections.abc import Callable

from huey.api import Huey

from tests.benchmarks.subject import BARE, KIT, Subject


def stored_per_skip(make_huey: Callable[[str], Huey], tasks: int) -> dict[str, float]:
    """Bytes by side; *make_huey* is given the name of a queue."""
    return {
        side: _stored(Subject(make_huey(f"stored-{side}"), side), tasks) for side in (BARE, KIT)
    }


def _stored(subject: Subject, count: int) -> float:
    tasks = subject.prepare("locked", count)
    before = _size(subject.huey)
    subject.run(tasks)
    stored = (_size(subject.huey) - before) / count
    subject.close()
    return stored


def _size(huey: Huey) -> int:
    storage = huey.storage
    if hasattr(storage, "result_key"):  # Redis: what is in the hash itself
        stored = storage.conn.hgetall(storage.result_key)
    else:
        stored = storage.result_items()
    return sum(len(key) + len(value) for key, value in stored.items())
