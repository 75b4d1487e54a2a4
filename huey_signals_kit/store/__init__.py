"""The result store, the queue and the schedule of a Huey, read as data.

`open_store` opens any storage, `Reader` reads its values. Neither unpickles anything, so nothing
that is stored can run code. `open_kit_store` opens the kit's own data beside them.

- ``protocol``: the operations of a store
- ``backends``: one for each of Huey's storages
- ``unpickle``: an interpreter for pickles that calls nothing
- ``keys``, ``tokens``: what keys mean, and tokens in bulk
"""

from ._kit_data import (
    LEDGER,
    UPKEEP,
    KitStore,
    kit_folder,
    kit_queue,
    open_kit_store,
    redis_key,
)
from ._open import REDIS, close_connection, family_of, is_read_whole, is_shared, open_store
from .backends.batches import chunks, is_key
from .backends.files import file_lock
from .backends.generic import UnsupportedStorage
from .backends.memory import MemoryStore
from .backends.peewee import connected as peewee_connected
from .backends.redis import RedisStore
from .backends.redis import prefix_pattern as redis_pattern
from .backends.redis_kit import RedisExpiringKeys, RedisKitStore
from .backends.redis_scripting import Script, ScriptsRefused, run_script, transact
from .keys import Keys, Kind
from .protocol import BATCH, LARGEST, Entry, Store
from .reader import Reader, ReadMessage, Unreadable
from .unpickle.trusted import children, ids_in_plain

__all__ = [
    "BATCH",
    "LARGEST",
    "LEDGER",
    "REDIS",
    "UPKEEP",
    "Entry",
    "Keys",
    "Kind",
    "KitStore",
    "MemoryStore",
    "ReadMessage",
    "Reader",
    "RedisExpiringKeys",
    "RedisKitStore",
    "RedisStore",
    "Script",
    "ScriptsRefused",
    "Store",
    "Unreadable",
    "UnsupportedStorage",
    "children",
    "chunks",
    "close_connection",
    "family_of",
    "file_lock",
    "ids_in_plain",
    "is_key",
    "is_read_whole",
    "is_shared",
    "kit_folder",
    "kit_queue",
    "open_kit_store",
    "open_store",
    "peewee_connected",
    "redis_key",
    "redis_pattern",
    "run_script",
    "transact",
]
