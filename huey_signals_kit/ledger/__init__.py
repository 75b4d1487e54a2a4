"""What all consumers of one queue share: who they are, what they run, what they have counted.

The ledger has one record per process, rewritten every few seconds, and the totals of processes that
are gone. It is stored where `open_kit_store` says. Losing the ledger loses counts and delays sweeps
and releases; it can never cause a deletion.
"""

from ._alive import AliveWriter, alive_writer
from ._backend import StoredValues
from ._failure_detector import BEAT_SECONDS, LEAST_STALE_AFTER, OVERDUE_SECONDS, STALE_AFTER
from ._lease import Lease
from ._ledger import Ledger, Snapshot, open_ledger
from ._liveness import Process
from ._open import open_backend
from ._own_record import is_of_this_process
from ._record import MOST_SKIPS, Heartbeat, LockSkip
from ._removal import remove_record
from ._unreadable import UnreadableLedger, older_text
from ._watch_duty import WatchDuty
from ._watcher import Watcher, watching

__all__ = [
    "BEAT_SECONDS",
    "LEAST_STALE_AFTER",
    "MOST_SKIPS",
    "OVERDUE_SECONDS",
    "STALE_AFTER",
    "AliveWriter",
    "Heartbeat",
    "Lease",
    "Ledger",
    "LockSkip",
    "Process",
    "Snapshot",
    "StoredValues",
    "UnreadableLedger",
    "WatchDuty",
    "Watcher",
    "alive_writer",
    "is_of_this_process",
    "older_text",
    "open_backend",
    "open_ledger",
    "remove_record",
    "watching",
]
