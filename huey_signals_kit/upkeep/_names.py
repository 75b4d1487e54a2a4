"""Every public name of `upkeep`, which imports this module when one of them is first used."""

from ._common import Stopped
from ._limits import DAY, LOCK_ERRORS, MIN_AGE, UNCLAIMED_SECONDS, WEEK
from ._task_registry import is_declared
from .errors import PurgeReport, PurgeStopped, purge_errors, validate_classes
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
    Release,
    release_lock,
    release_stale,
    release_unchanged,
    validate_not_held,
)
from .reports.model import Consumer, LockCounts, Report
from .reports.report import report
from .results.purge import (
    ResultPurger,
    ResultPurgeReport,
    ResultPurgeStopped,
    next_purge,
    purge_results,
)
from .tokens.info import (
    SweepReport,
    SweepStopped,
    TaskLocation,
    TokenInfo,
    TokensDeleted,
    TokensStopped,
)
from .tokens.listing import TokenList, delete_named_tokens, find_task, next_sweep
from .tokens.sweeper import LEASE_WAIT_SECONDS, Sweeper, sweep_tokens, validate_min_age

__all__ = [
    "DAY",
    "LEASE_WAIT_SECONDS",
    "LOCK_ERRORS",
    "MIN_AGE",
    "UNCLAIMED_SECONDS",
    "WEEK",
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
    "ResultPurgeReport",
    "ResultPurgeStopped",
    "ResultPurger",
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
    "next_purge",
    "next_sweep",
    "purge_errors",
    "purge_results",
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
