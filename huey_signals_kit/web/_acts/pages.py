"""The pages of the actions, and the notices that say what was done."""

from __future__ import annotations

from collections.abc import Callable

from .._page import Page
from .._request import Response
from .._site import Visit
from . import cleaning, locks, pauses, runs, targets, tokens
from .confirmation import Confirmation

_Confirm = Callable[[Visit], Confirmation]
_Act = Callable[[Visit], Response]


def _page(act: str, title: str, tab: str, confirm: _Confirm, do: _Act) -> Page:
    is_of_object = act not in (cleaning.SWEEP, cleaning.PURGE)
    return Page(title, "act.html", confirm, Confirmation.as_json, tab, do, act, is_of_object)


_PAGES = (
    _page(locks.ACT, "Release a lock", "locks", locks.confirm, locks.release),
    _page(targets.DELETE, "Delete a token", "tokens", tokens.confirm_delete, tokens.delete_token),
    _page(targets.RESTORE, "Restore", "tasks", tokens.confirm_restore, tokens.restore),
    _page(targets.RESUME, "Resume a task", "tasks", tokens.confirm_resume, tokens.resume),
    _page(targets.REVOKE, "Revoke", "tasks", pauses.confirm_revoke, pauses.revoke),
    _page(targets.PAUSE_ACT, "Pause a task", "tasks", pauses.confirm_pause, pauses.pause),
    _page(runs.NOW, "Run a task now", "tasks", runs.confirm_now, runs.run_now),
    _page(runs.AGAIN, "Run a task again", "tasks", runs.confirm_again, runs.run_again),
    _page(cleaning.SWEEP, "Sweep tokens", "tokens", cleaning.confirm_sweep, cleaning.sweep),
    _page(cleaning.PURGE, "Purge errors", "store", cleaning.confirm_purge, cleaning.purge),
)
ACT_PAGES: dict[str, Page] = {f"act/{page.act_name}": page for page in _PAGES}

NOTICES = {
    locks.ACT: "The lock was released.",
    targets.DELETE: "The token was deleted.",
    targets.RESTORE: "The task was restored.",
    targets.RESUME: "The task was resumed.",
    targets.REVOKE: "The task was revoked.",
    targets.EVERY_RUN: "Every run of the task is revoked.",
    targets.PAUSE_ACT: "The task was paused.",
    runs.NOW: "One run was enqueued.",
    runs.AGAIN: "The task was enqueued again, with a new id.",
    cleaning.SWEEP: "The sweep was started.",
    cleaning.PURGE: "The purge was started.",
}
"""The notice after an action, by the value of ``done`` in the query."""
