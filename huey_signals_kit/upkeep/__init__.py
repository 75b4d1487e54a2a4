"""Work over the store and the ledger of a queue: what has leaked is found and cleaned.

It takes any Huey, with a kit or without. Nothing alive is ever touched: what is not known to be
garbage stays, and is counted.
"""

from ._common import Stopped
from .errors import LOCK_ERRORS, PurgeReport, PurgeStopped, purge_errors, validate_classes
from .explanation.explain import explain
from .explanation.model import Chord, Explanation, Place, Revocation, Skipped, StoredResult
from .kit_data import Forgotten, StillInUse, check_unused_elsewhere, forget, forget_record
from .locks.info import LockHeld, LockInfo
from .locks.inspection import LockInspector
from .locks.release import (
    UNCLAIMED_SECONDS,
    Release,
    check_not_held,
    release_lock,
    release_named,
    release_seen,
    release_stale,
)
from .reports.model import Consumer, LockCounts, Report
from .reports.report import report
from .tokens.info import TaskLocation, TokenInfo, TokensDeleted, TokensStopped
from .tokens.listing import TokenList, delete_named_tokens, find_task, next_sweep
from .tokens.report import SweepReport, SweepStopped
from .tokens.sweeper import DAY, LEAST_AGE, Sweeper, check_age, sweep_tokens

__all__ = [
    "DAY",
    "LEAST_AGE",
    "LOCK_ERRORS",
    "UNCLAIMED_SECONDS",
    "Chord",
    "Consumer",
    "Explanation",
    "Forgotten",
    "LockCounts",
    "LockHeld",
    "LockInfo",
    "LockInspector",
    "Place",
    "PurgeReport",
    "PurgeStopped",
    "Release",
    "Report",
    "Revocation",
    "Skipped",
    "StillInUse",
    "Stopped",
    "StoredResult",
    "SweepReport",
    "SweepStopped",
    "Sweeper",
    "TaskLocation",
    "TokenInfo",
    "TokenList",
    "TokensDeleted",
    "TokensStopped",
    "check_age",
    "check_not_held",
    "check_unused_elsewhere",
    "delete_named_tokens",
    "explain",
    "find_task",
    "forget",
    "forget_record",
    "next_sweep",
    "purge_errors",
    "release_lock",
    "release_named",
    "release_seen",
    "release_stale",
    "report",
    "sweep_tokens",
    "validate_classes",
]
