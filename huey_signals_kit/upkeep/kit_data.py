"""Delete everything that the kit has written for one queue, or one record of its ledger.

A process that is alive would write its record again, so it is a reason to refuse. A record alone
does not tell whether its process is alive on another host. So the records are watched for three
heartbeats: a record that changes meanwhile belongs to a living process.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from .._checks import check_huey, validate_flag
from ..ledger import (
    OVERDUE_SECONDS,
    Heartbeat,
    StoredValues,
    is_of_this_process,
    open_backend,
    open_ledger,
    remove_record,
)
from ..store import (
    LEDGER,
    REDIS,
    UPKEEP,
    family_of,
    kit_folder,
    open_kit_store,
    open_store,
    redis_key,
    redis_pattern,
)
from ..store.keys import OWN

_POLL_SECONDS = 0.5
_FOLDER_OF_0_1 = "huey-signals-expiring"
_KIND_OF_0_1 = "keys of version 0.1 among the results"
_KINDS = (
    ("process:", "records of processes"),
    ("alive:", "signs of life"),
    ("totals", "totals"),
    ("lease", "leases"),
    ("marks:", "marks of token sweeps"),
    ("swept", "end of the last sweep"),
    ("result-marks:", "marks of purges of results"),
    ("locks", "marks of locks"),
    ("skips", "recent skips"),
    ("history:", "counts by minute and hour"),
    ("cleared", "notes of cleared locks"),
    ("expiring", "index of errors that expire"),
)
"""Kinds of keys: the beginning of a key, and its name in the report."""


@dataclass(frozen=True)
class Forgotten:
    """The result of `forget`: what was deleted, or would be."""

    found: dict[str, int] = field(default_factory=dict)
    """The number of keys of each kind."""
    silent: list[str] = field(default_factory=list)
    """Processes that may be alive; a living process writes its record again."""
    dry_run: bool = False

    @property
    def keys(self) -> int:
        """The number of keys of all kinds together."""
        return sum(self.found.values())


class StillInUse(RuntimeError):
    """The error for keys that were not deleted, because living processes would write them again.

    Args:
        queue: The name of the Huey.
        processes: The processes, as text.
    """

    def __init__(self, queue: str, processes: list[str]) -> None:
        super().__init__(
            f"cannot forget what the kit has written for {queue!r}: {', '.join(processes)} "
            f"{'is' if len(processes) == 1 else 'are'} alive and would write it again. Stop "
            f"{'this process' if len(processes) == 1 else 'these processes'}, or start "
            f"{'it' if len(processes) == 1 else 'them'} without the kit, then call it again"
        )
        self.processes = processes


def forget(
    huey: Any,
    dry_run: bool = False,
    *,
    on_wait: Callable[[], object] = lambda: None,
    on_delete: Callable[[str, int], object] = lambda kind, number: None,
) -> Forgotten:
    """Delete every key that the kit has written for the queue of `huey`.

    Results, tokens and locks belong to Huey and stay; so do errors that were to expire. If there
    are processes on other hosts, it takes up to 15 seconds to learn whether they are alive.

    Args:
        huey: The Huey, with a kit or without.
        dry_run: Delete nothing, and return what would be deleted.
        on_wait: Called repeatedly while processes are watched.
        on_delete: Called with each kind of keys and their number after they were deleted.

    Raises:
        StillInUse: Living processes have a record; nothing was deleted.
    """
    huey = check_huey(huey, "forget()")
    validate_flag(dry_run, "dry_run= of forget()")
    living, silent = _find_processes(huey, on_wait)
    if living and not dry_run:
        raise StillInUse(str(huey.name), living)
    numbers: Counter[str] = Counter()
    for kind, number, delete in _stored_kinds(huey):
        numbers[kind] += number
        if not dry_run:
            delete()
            on_delete(kind, numbers[kind])
    return Forgotten({kind: number for kind, number in numbers.items() if number}, silent, dry_run)


def validate_unused_elsewhere(huey: Any) -> None:
    """Check that no other living process has a record.

    Args:
        huey: The Huey.

    Raises:
        StillInUse: Another process is alive.
    """
    living, _ = _find_processes(
        huey, lambda: None, lambda record: not is_of_this_process(record.id)
    )
    if living:
        raise StillInUse(str(huey.name), living)


def forget_record(huey: Any, name: str, dry_run: bool = False) -> bool:
    """Delete one record of the ledger; return whether there was one.

    The counters of a process are added to the totals. A record that cannot be read is deleted too.

    Args:
        huey: The Huey.
        name: The id of a process, as a sweep or a report names it, or ``totals``.
        dry_run: Delete nothing.

    Raises:
        StillInUse: The process is alive.
    """
    huey = check_huey(huey, "forget_record()")
    process_id = name.removeprefix("process:")
    living, _ = _find_processes(huey, lambda: None, lambda record: record.id == process_id)
    if living and not dry_run:
        raise StillInUse(str(huey.name), living)
    return remove_record(huey, process_id, dry_run)


def _find_processes(
    huey: Any,
    on_wait: Callable[[], object],
    is_wanted: Callable[[Heartbeat], bool] = lambda record: True,
) -> tuple[list[str], list[str]]:
    """Return the processes that are alive, and the ones that were silent while watched.

    Args:
        huey: The Huey.
        on_wait: Called repeatedly while processes are watched.
        is_wanted: Whether to watch the process of a record.
    """
    ledger, backend = open_ledger(huey), open_backend(huey)
    first = backend.read()
    deadline, living = time.monotonic() + OVERDUE_SECONDS, {}
    while True:
        unknown, now = [], backend.read()
        for process in ledger.processes():
            record = process.heartbeat
            if not is_wanted(record):
                continue
            if process.alive or _value(now, record.id) != _value(first, record.id):
                living[record.id] = _describe(record)
            elif process.alive is None:
                unknown.append(_describe(record))
        if not unknown or time.monotonic() >= deadline:
            return list(living.values()), unknown
        on_wait()
        time.sleep(_POLL_SECONDS)


def _value(snapshot: StoredValues, process_id: str) -> tuple[bytes | None, bytes | None]:
    """Return the values that change while a process is alive."""
    return snapshot.records.get(process_id), snapshot.alive.get(process_id.partition(".")[0])


def _describe(record: Heartbeat) -> str:
    return f"process {record.pid} on {record.host}"


_StoredKind = tuple[str, int, Callable[[], object]]
"""A kind of keys, the number of them, and a function that deletes them."""


def _stored_kinds(huey: Any) -> Iterator[_StoredKind]:
    """Yield every kind of keys that the kit has written."""
    storage, family = huey.storage, family_of(huey.storage)
    if family is not None and family.name in REDIS:
        yield from _on_redis(storage)
    else:
        yield from _in_store(huey)
    if family is not None and family.name == "FileStorage":
        yield from _folders(storage)
    if family is not None:
        store = open_store(huey)
        old = [key for batch in store.keys(OWN) for key in batch]
        yield _KIND_OF_0_1, len(old), lambda: store.delete(old)


def _on_redis(storage: Any) -> Iterator[_StoredKind]:
    conn, name = storage.conn, storage.name

    def deletes(*keys: Any) -> Callable[[], object]:
        return lambda: conn.delete(*keys) if keys else 0

    for part in (LEDGER, UPKEEP):
        key = redis_key(part, name)
        fields = [field.decode("utf-8", "replace") for field, _ in conn.hscan_iter(key)]
        for kind, number in Counter(map(_kind, fields)).items():
            yield kind, number, deletes(key)
    index = redis_key("expiring", name)
    yield _kind("expiring"), int(conn.zcard(index)), deletes(index)
    for part, prefix, kind in (
        ("fresh", "process:", "freshness keys"),
        ("lease", "lease:", _kind("lease")),
    ):
        pattern = redis_pattern(f"{redis_key(part, name)}.{prefix}".encode())
        keys = list(conn.scan_iter(match=pattern, count=1000))
        yield kind, len(keys), deletes(*keys)


def _in_store(huey: Any) -> Iterator[_StoredKind]:
    seen: set[str] = set()
    for part in (LEDGER, UPKEEP):
        store = open_kit_store(huey, part)
        keys = [key for batch in store.keys(OWN) for key in batch if key not in seen]
        seen.update(keys)
        for kind in dict.fromkeys(map(_kind, keys)):
            of_kind = [key for key in keys if _kind(key) == kind]
            yield kind, len(of_kind), partial(store.delete, of_kind)


def _folders(storage: Any) -> Iterator[_StoredKind]:
    for folder in (kit_folder(storage), Path(storage.path, _FOLDER_OF_0_1)):
        # The files of the ledger and the upkeep are counted already.
        index = folder / "expiring" if folder.name.startswith(".") else folder
        number = len(list(index.iterdir())) if index.is_dir() else 0
        yield (
            _kind("expiring"),
            number,
            partial(shutil.rmtree, folder, ignore_errors=True),
        )


def _kind(key: str) -> str:
    name = key.removeprefix(OWN)
    return next((kind for prefix, kind in _KINDS if name.startswith(prefix)), "other keys")
