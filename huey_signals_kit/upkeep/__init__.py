"""Work over the store and the ledger of a queue: what has leaked is found and cleaned.

It takes any Huey, with a kit or without. Nothing alive is ever touched: what is not known to be
garbage stays, and is counted.
"""

from ._errors import LOCK_ERRORS, PurgeReport, PurgeStopped, checked_classes, purge_errors
from ._explain import explain
from ._explain_form import Chord, Explanation, Place, Revocation, Skipped, StoredResult
from ._forget import Forgotten, StillInUse, check_unused_elsewhere, forget, forget_record
from ._lock_form import LockHeld, LockInfo
from ._lock_list import LockWatch
from ._lock_release import (
    UNCLAIMED_SECONDS,
    Release,
    check_not_held,
    release_lock,
    release_named,
    release_seen,
    release_stale,
)
from ._report import report
from ._report_form import Consumer, LockCounts, Report
from ._stopped import Stopped
from ._sweep import DAY, LEAST_AGE, Sweeper, check_age, sweep_tokens
from ._sweep_report import SweepReport, SweepStopped
from ._token_form import Standing, TokenInfo, TokensDeleted, TokensStopped
from ._token_list import TokenList, delete_named_tokens, next_sweep, standings

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
    "LockWatch",
    "Place",
    "PurgeReport",
    "PurgeStopped",
    "Release",
    "Report",
    "Revocation",
    "Skipped",
    "Standing",
    "StillInUse",
    "Stopped",
    "StoredResult",
    "SweepReport",
    "SweepStopped",
    "Sweeper",
    "TokenInfo",
    "TokenList",
    "TokensDeleted",
    "TokensStopped",
    "check_age",
    "check_not_held",
    "check_unused_elsewhere",
    "checked_classes",
    "delete_named_tokens",
    "explain",
    "forget",
    "forget_record",
    "next_sweep",
    "purge_errors",
    "release_lock",
    "release_named",
    "release_seen",
    "release_stale",
    "report",
    "standings",
    "sweep_tokens",
]
