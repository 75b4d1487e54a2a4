"""Work over the store and the ledger of a queue: find what has leaked, and clean it.

Every function takes any Huey, with a kit or without. The rule for all of them: whatever may still
be in use is left alone and counted, so everything that is deleted or released was proved unused.
`tokens` has the sweep of revoke tokens, `locks` the release of stale locks, `errors` the purge of
stored errors, `kit_data` the deletion of the kit's own keys. `reports` and `explanation` only read.
"""

from ._common import Stopped
from ._task_registry import is_declared
from .errors import LOCK_ERRORS, PurgeReport, PurgeStopped, purge_errors, validate_classes
from .explanation.explain import explain
from .explanation.model import (
    Chord,
    Explanation,
    Location,
    Revocation,
    SkippedAttempt,
    StoredResult,
)
from .kit_data import Forgotten, StillInUse, forget, forget_record, validate_unused_elsewhere
from .locks.info import LockHeld, LockInfo
from .locks.inspection import LockInspector
from .locks.release import (
    UNCLAIMED_SECONDS,
    Release,
    release_lock,
    release_stale,
    release_unchanged,
    validate_not_held,
)
from .reports.model import Consumer, LockCounts, Report
from .reports.report import report
from .tokens.info import (
    SweepReport,
    SweepStopped,
    TaskLocation,
    TokenInfo,
    TokensDeleted,
    TokensStopped,
)
from .tokens.listing import TokenList, delete_named_tokens, find_task, next_sweep
from .tokens.sweeper import DAY, MIN_AGE, Sweeper, sweep_tokens, validate_min_age

__all__ = [
    "DAY",
    "LOCK_ERRORS",
    "MIN_AGE",
    "UNCLAIMED_SECONDS",
    "Chord",
    "Consumer",
    "Explanation",
    "Forgotten",
    "Location",
    "LockCounts",
    "LockHeld",
    "LockInfo",
    "LockInspector",
    "PurgeReport",
    "PurgeStopped",
    "Release",
    "Report",
    "Revocation",
    "SkippedAttempt",
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
    "delete_named_tokens",
    "explain",
    "find_task",
    "forget",
    "forget_record",
    "is_declared",
    "next_sweep",
    "purge_errors",
    "release_lock",
    "release_stale",
    "release_unchanged",
    "report",
    "sweep_tokens",
    "validate_classes",
    "validate_min_age",
    "validate_not_held",
    "validate_unused_elsewhere",
]
