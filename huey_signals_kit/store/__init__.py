"""The result store, the queue and the schedule of a Huey, read as data.

`open_store` opens any storage; nothing that is read through it is unpickled or can run code.
"""

from ._families import (
    REDIS,
    family_of,
    is_read_whole,
    is_shared,
    lock_name_pages,
    open_store,
)
from ._file_lock import file_lock
from ._foreign import StorageUnable
from ._kit_data import (
    LEDGER,
    UPKEEP,
    KitStore,
    kit_folder,
    kit_queue,
    open_kit_store,
    redis_key,
)
from ._memory import MemoryStore
from ._own_messages import ids_in_plain
from ._own_messages import inside as parts_of
from ._peewee import connected as peewee_connected
from ._redis import RedisStore
from ._redis import pattern as redis_pattern
from ._redis_kit import RedisExpiringKeys, RedisKitStore
from ._scripting import Script, ScriptsRefused, run_script, transact
from .keys import Keys, Kind
from .protocol import BATCH, LARGEST, Entry, Store
from .safe import Reader, ReadMessage, Unreadable

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
    "StorageUnable",
    "Store",
    "Unreadable",
    "family_of",
    "file_lock",
    "ids_in_plain",
    "is_read_whole",
    "is_shared",
    "kit_folder",
    "kit_queue",
    "lock_name_pages",
    "open_kit_store",
    "open_store",
    "parts_of",
    "peewee_connected",
    "redis_key",
    "redis_pattern",
    "run_script",
    "transact",
]
