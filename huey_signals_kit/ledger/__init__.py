"""What all consumers of one queue share: who they are, what they run, what they have counted.

One record per process, rewritten every few seconds, and the totals of those that are gone, kept
where `open_kit_store` says. Losing it loses counts, and delays what waits for it; it can never
cause a deletion.
"""

from ._alive import AliveWriter, alive_writer
from ._hands import READING, Note, being_read, hands_of, nothing
from ._holder import Holder, HolderText, try_holder
from ._in_flight import InFlight, has_worker, waiting_ids
from ._lease import Lease
from ._ledger import Ledger, Look, Process, UnreadableLedger, open_ledger, open_shelf
from ._place import Place, here
from ._record import MOST_SKIPS, Heartbeat, LockSkip, Running
from ._takings import BARE, Mine, Taking, Takings, is_held_here, key_of, takings_of
from ._watch import BEAT_SECONDS, OVERDUE_SECONDS

__all__ = [
    "BARE",
    "BEAT_SECONDS",
    "MOST_SKIPS",
    "OVERDUE_SECONDS",
    "READING",
    "AliveWriter",
    "Heartbeat",
    "Holder",
    "HolderText",
    "InFlight",
    "Lease",
    "Ledger",
    "LockSkip",
    "Look",
    "Mine",
    "Note",
    "Place",
    "Process",
    "Running",
    "Taking",
    "Takings",
    "UnreadableLedger",
    "alive_writer",
    "being_read",
    "hands_of",
    "has_worker",
    "here",
    "is_held_here",
    "key_of",
    "nothing",
    "open_ledger",
    "open_shelf",
    "takings_of",
    "try_holder",
    "waiting_ids",
]
