"""Restore a revoked task, resume a paused one, and delete a single token.

All three delete one key: a revoke token ``r:ID``, which keeps one task from running, or a pause
switch ``rt:NAME``, which keeps every run of a task from running.
"""

from __future__ import annotations

from ...store import Reader, open_store
from ...store.keys import TOKEN
from ...upkeep import Explanation
from .. import _text
from .._page import NotFound, Refused
from .._request import Response
from .._site import Visit
from .._switches import digest, is_switch
from .command import command, exact_pattern
from .confirmation import Confirmation, form_fields, record, redirect
from .once import FIELD, new_form_id, use_form
from .targets import (
    DELETE,
    NO_TOKEN,
    RESTORE,
    RESUME,
    UNCHANGED,
    find_target,
    not_a_switch,
    page_of,
    pause_facts,
    target_of_form,
    task_facts,
)

_NO_TRACE, _IN_DOUBT, _LIVE = range(3)
_EFFECTS = (
    "The token is deleted. No trace of its task was found; if a task with this id is enqueued "
    "again, it runs.",
    "The token is deleted. A message or a record cannot be read, so the task may still be queued; "
    "if it is, it will run.",
    "The token is deleted. Its task is still queued or scheduled, so it will run.",
)
"""What deleting a token means, by what is known of its task."""


def confirm_delete(visit: Visit) -> Confirmation:
    """Return the confirmation to delete exactly one token or switch."""
    return _confirm_removal(visit, DELETE, "Delete the token", "Delete the token")


def confirm_restore(visit: Visit) -> Confirmation:
    """Return the confirmation to restore a revoked task, or a task by its name."""
    return _confirm_removal(visit, RESTORE, "Restore", "Restore")


def confirm_resume(visit: Visit) -> Confirmation:
    """Return the confirmation to end the pause of a task."""
    return _confirm_removal(visit, RESUME, "Resume", "Resume")


def _confirm_removal(visit: Visit, act: str, question: str, button: str) -> Confirmation:
    key, name = find_target(visit.request.query, act)
    if not is_switch(visit.queue.huey, key):
        raise NotFound(not_a_switch(key))
    shown, facts, effects, is_token = "", list[tuple[str, str]](), list[str](), True
    fields = dict(visit.request.query)
    if key.startswith(TOKEN):
        found, _ = visit.queue.find_task(name)
        shown, is_token = found.digests.get(key, ""), key not in found.foreign
        facts += task_facts(found)
        trace = _trace(found.explanation)
        effects.append(_EFFECTS[trace])
        fields["trace"] = str(trace)
    else:
        pause, _ = visit.queue.find_pause(name)
        shown, is_token = ("", True) if pause is None else (pause.digest, pause.is_readable)
        facts += pause_facts(visit, pause)
        effects.append(
            "The pause switch is deleted. Workers run the tasks with this name again. Runs that "
            "were dropped before are lost."
        )
    effects.append("If the stored value changes before you confirm, nothing is deleted.")
    return Confirmation(
        visit.queue.state(),
        act,
        question,
        key if act == DELETE else name,
        button,
        page_of(visit, key, name),
        facts,
        effects,
        _refusal(bool(shown), is_token),
        {**fields, "value": shown, FIELD: new_form_id()},
        command=command(visit.queue.huey, "tokens", "delete", names=(exact_pattern(key),)),
    )


def _refusal(is_stored: bool, is_token: bool) -> str:
    if not is_stored:
        return "There is no such token, so there is nothing to delete."
    return "" if is_token else NO_TOKEN


def _trace(explanation: Explanation) -> int:
    """Return how much of a task was found: `_NO_TRACE`, `_IN_DOUBT` or `_LIVE`."""
    looked = explanation.looked
    if any(place.where != "running" or place.path for place in explanation.places):
        return _LIVE
    return _IN_DOUBT if looked.unreadable or looked.records or looked.untold else _NO_TRACE


def _validate_trace(visit: Visit, task_id: str, shown: str) -> None:
    """Refuse to delete a token if its task was enqueued since the confirmation.

    Args:
        visit: The request.
        task_id: The id of the task.
        shown: What the confirmation has said of the task, as a number.
    """
    trace = _trace(visit.queue.find_task_now(task_id).explanation)
    if shown not in map(str, range(trace, _LIVE + 1)):
        raise Refused(
            UNCHANGED,
            f"More is known of the task than when the page was shown. {_EFFECTS[trace]} Open the "
            "page again to delete the token.",
        )


def delete_token(visit: Visit) -> Response:
    """Delete the token or the switch of the form."""
    return _remove(visit, DELETE)


def restore(visit: Visit) -> Response:
    """Delete the token of an id, or the switch of a name."""
    return _remove(visit, RESTORE)


def resume(visit: Visit) -> Response:
    """Delete the switch of a name."""
    return _remove(visit, RESUME)


def _remove(visit: Visit, act: str) -> Response:
    """Delete a token, if its stored value is the one that the page has shown."""
    queue, form = visit.queue, form_fields(visit)
    key, name = target_of_form(visit, act)
    store = open_store(queue.huey)
    (raw,) = store.get([key])
    changed = Refused(
        UNCHANGED, f"{_text.clean(key)} was deleted or replaced since the page was shown."
    )
    if raw is None or digest(raw) != form.get("value", ""):
        raise changed
    if not Reader(queue.huey).is_token(raw):
        raise Refused(UNCHANGED, NO_TOKEN)
    if key.startswith(TOKEN):
        _validate_trace(visit, name, form.get("trace", ""))
    use_form(visit, UNCHANGED)
    if not store.compare_and_delete(key, raw):
        raise changed
    record(visit, act, key if act == DELETE else name, 1)
    if act == DELETE:
        return redirect(visit, "tokens", act)
    return redirect(visit, "task", act, **{"id" if key.startswith(TOKEN) else "name": name})
