"""The ledger: what the processes of one queue share, what they run and what they have counted.

It has one record per process, rewritten every few seconds, and the totals of processes that are
gone. Losing the ledger loses counts and delays sweeps and releases; it can never cause a deletion
or a release.

Who may call a process dead:

1. In the same pid namespace the operating system decides, by pid, start time and, after ``exec``,
   incarnation (`runtime.process_id`).
2. Elsewhere a process is dead when its record has not changed for ``stale_after`` seconds of valid
   observation (`_failure_detector`).
3. A reader without observations of its own trusts an observer's note only if the observer has
   proved to be alive since (`_liveness`).
4. When in doubt, the answer is None: nothing is released or deleted.

One call that keeps the interpreter's lock for longer than ``stale_after`` cannot be told from
death: no thread of that process can write. That is why the default is two minutes.

`_ledger` is the entrance. `_own_record` writes this process's record and `_totals` adds up the
others; `_record` is the stored form, and `_backend` knows the storages.
"""

from ._alive import AliveWriter, alive_writer
from ._backend import StoredValues, open_backend
from ._failure_detector import HEARTBEAT_SECONDS, MIN_STALE_AFTER, OVERDUE_SECONDS, STALE_AFTER
from ._history import History, HistoryWriter, history_label, read_history
from ._lease import Lease
from ._ledger import Ledger, Snapshot, open_ledger
from ._liveness import Process
from ._observer import Observer, ObserverLease, observing
from ._own_record import is_of_this_process
from ._record import MAX_PERIODIC, MAX_SKIPS, Heartbeat, LockSkip
from ._totals import remove_record
from ._unreadable import UnreadableLedger, older_text

__all__ = [
    "HEARTBEAT_SECONDS",
    "MAX_PERIODIC",
    "MAX_SKIPS",
    "MIN_STALE_AFTER",
    "OVERDUE_SECONDS",
    "STALE_AFTER",
    "AliveWriter",
    "Heartbeat",
    "History",
    "HistoryWriter",
    "Lease",
    "Ledger",
    "LockSkip",
    "Observer",
    "ObserverLease",
    "Process",
    "Snapshot",
    "StoredValues",
    "UnreadableLedger",
    "alive_writer",
    "history_label",
    "is_of_this_process",
    "observing",
    "older_text",
    "open_backend",
    "open_ledger",
    "read_history",
    "remove_record",
]
