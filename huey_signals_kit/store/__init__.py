"""The result store, the queue and the schedule of a Huey, read as data.

`open_store` opens any storage; nothing that is read through it is unpickled or can run code.
"""

from ._families import open_store
from ._file_lock import file_lock
from ._foreign import StorageUnable
from ._own_messages import ids_in_plain
from ._own_messages import inside as parts_of
from ._peewee import connected as peewee_connected
from ._redis import RedisStore
from ._scripting import Script, ScriptsRefused, run_script, transact
from .keys import Keys, Kind
from .protocol import BATCH, LARGEST, Entry, Store
from .safe import Reader, ReadMessage, Unreadable

__all__ = [
    "BATCH",
    "LARGEST",
    "Entry",
    "Keys",
    "Kind",
    "ReadMessage",
    "Reader",
    "RedisStore",
    "Script",
    "ScriptsRefused",
    "StorageUnable",
    "Store",
    "Unreadable",
    "file_lock",
    "ids_in_plain",
    "open_store",
    "parts_of",
    "peewee_connected",
    "run_script",
    "transact",
]
