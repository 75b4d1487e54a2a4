"""Work over the store and the ledger of a queue: what has leaked is found and cleaned.

It takes any Huey, with a kit or without. Nothing alive is ever touched: what is not known to be
garbage stays, and is counted.
"""

from ._errors import LOCK_ERRORS, PurgeReport, PurgeStopped, checked_classes, purge_errors
from ._report import report
from ._report_form import Consumer, Report
from ._stopped import Stopped
from ._sweep import DAY, LEAST_AGE, Sweeper, check_age, sweep_tokens
from ._sweep_report import SweepReport, SweepStopped
from ._token_form import Standing, TokenInfo, TokensDeleted, TokensStopped
from ._token_list import TokenList, delete_named_tokens, next_sweep, standings

__all__ = [
    "DAY",
    "LEAST_AGE",
    "LOCK_ERRORS",
    "Consumer",
    "PurgeReport",
    "PurgeStopped",
    "Report",
    "Standing",
    "Stopped",
    "SweepReport",
    "SweepStopped",
    "Sweeper",
    "TokenInfo",
    "TokenList",
    "TokensDeleted",
    "TokensStopped",
    "check_age",
    "checked_classes",
    "delete_named_tokens",
    "next_sweep",
    "purge_errors",
    "report",
    "standings",
    "sweep_tokens",
]
