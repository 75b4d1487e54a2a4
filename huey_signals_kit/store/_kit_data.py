"""The kit's own data: where they are stored, separate from Huey's results wherever possible.

=================  ==============================================================================
Redis, both        hash ``huey-signals.ledger.<name>``: ``totals``, ``process:<id>``, ``alive:<id>``
layouts            hash ``huey-signals.upkeep.<name>``: marks of sweeps, purges and locks, the end
                   of the last sweep, recent skips, counts by minute and hour
                   sorted set ``huey-signals.expiring.<name>``: errors that expire
                   ``huey-signals.fresh.<name>.process:<id>``, ``huey-signals.lease.<name>.<key>``
SQL                rows of Huey's own table of results, under the queue ``<name>.huey-signals``
files              the folder ``.huey-signals`` in Huey's path
memory             a dictionary of this process
any other storage  among its results, in Huey's own serializer
=================  ==============================================================================

Every key begins with ``huey-signals:``, except in the ledger on Redis (hash, fresh, lease).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from huey import storage as storages

from ._open import REDIS, family_of, is_shared
from .backends.files import FileStore
from .backends.generic_kit import SerializedStore
from .backends.memory import MemoryStore
from .backends.redis_kit import RedisKitStore
from .keys import OWN

_IN_MEMORY = "_huey_signals_kit_data"
LEDGER, UPKEEP = "ledger", "upkeep"
"""The two parts; on files each has a folder, so that reading one does not read the other."""


class KitStore(Protocol):
    """The kit's own values, under keys that begin with ``huey-signals:``.

    The methods have the meaning of those of `Store`; `put` and `put_if_absent` are added.
    """

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the value of each key, None for one that is missing."""

    def put(self, key: str, value: bytes) -> None:
        """Write a value."""

    def put_if_absent(self, key: str, value: bytes) -> bool:
        """Write a value if the key is missing, atomically; return whether it was."""

    def compare_and_set(self, key: str, old: bytes, new: bytes) -> bool:
        """Write `new` if the value is `old`; return whether it was."""

    def compare_and_delete(self, key: str, value: bytes) -> bool:
        """Delete the key if it has this value; return whether it had."""

    def keys(self, prefix: str = "") -> Iterator[list[str]]:
        """Yield the keys that begin with `prefix`, page by page."""

    def delete(self, keys: Iterable[str]) -> int:
        """Delete the keys; return how many existed."""


def kit_queue(name: str) -> str:
    """Return the queue under which SQL storages keep the kit's rows."""
    return f"{name}.huey-signals"


def kit_folder(storage: Any) -> Path:
    """Return the folder in which a `FileStorage` keeps the kit's files."""
    return Path(storage.path, ".huey-signals")


def redis_key(part: str, name: str) -> str:
    """Return the Redis key of a part of the kit's data, or the beginning of such keys.

    Args:
        part: ``"ledger"``, ``"upkeep"``, ``"expiring"``, ``"fresh"`` or ``"lease"``.
        name: The name of the storage.
    """
    return f"{OWN.rstrip(':')}.{part}.{name}"


def open_kit_store(huey: Any, part: str, storage: Any = None) -> KitStore:
    """Return the store of the kit's own data for the queue of `huey`.

    Open it again for each piece of work: setting ``huey.immediate`` replaces the storage.

    Args:
        huey: The Huey, for its serializer and its storage.
        part: `LEDGER` or `UPKEEP`.
        storage: Another storage object of the same kind, such as with its own connection.
    """
    storage = huey.storage if storage is None else storage
    if not is_shared(storage):
        # Kept in the storage object, so that the data lives as long as the storage; like the data
        # of other storages it stays when the kit is uninstalled.
        attributes = vars(storage)
        found: KitStore | None = attributes.get(_IN_MEMORY)
        if found is not None:
            return found
        return cast(KitStore, attributes.setdefault(_IN_MEMORY, _memory_store()))
    family = family_of(storage)
    if family is None:
        return SerializedStore(huey, storage)
    if family.name in REDIS:
        return RedisKitStore(storage, redis_key(part, storage.name))
    if family.name == "FileStorage":
        return FileStore(_file_storage(storage, part))
    return cast(KitStore, family.open(_sql_storage(storage)))


def _file_storage(storage: Any, part: str) -> Any:
    own = _plain_copy(storage)
    own.result_path, own.levels = os.path.join(kit_folder(storage), part), 0
    return own


def _sql_storage(storage: Any) -> Any:
    own = _plain_copy(storage)
    own.name = kit_queue(storage.name)
    for method in ("sql", "db"):
        if hasattr(storage, method):  # of the storage itself, which has the connection
            setattr(own, method, getattr(storage, method))
    return own


def _plain_copy(storage: Any) -> Any:
    """Return a shallow copy with Huey's own methods, without those that a subclass overrides."""
    modules = (storages.__name__, "huey.contrib.sql_huey")
    base = next(cls for cls in type(storage).__mro__ if cls.__module__ in modules)
    own: Any = object.__new__(base)
    own.__dict__.update(vars(storage))
    return own


def _memory_store() -> MemoryStore:
    return MemoryStore(storages.MemoryStorage())
