"""Revoke a task, or every run of a task, forever or for a time.

Huey has no queue of its own for runs that were stopped: a worker that takes a revoked task drops
it. So the confirmations say that these runs are lost.
"""

from __future__ import annotations

from datetime import timedelta

from ...huey_internals.django_tasks import RUN_TASK_NAME
from ...store import Reader, open_store
from ...store.keys import PAUSE, TOKEN
from ...upkeep import Explanation, is_declared
from .. import _content, _text
from .._page import Refused
from .._request import Response
from .._site import Visit
from .._switches import digest
from .command import huey_variable, task_path
from .confirmation import Confirmation, form_fields, record, redirect
from .once import FIELD, new_form_id, use_form
from .targets import (
    EVERY_RUN,
    NO_TOKEN,
    PAUSE_ACT,
    REVOKE,
    UNCHANGED,
    find_target,
    page_of,
    pause_facts,
    target_of_form,
    task_facts,
)

_DURATIONS = {
    "900": "15 minutes",
    "3600": "1 hour",
    "14400": "4 hours",
    "86400": "1 day",
    "604800": "7 days",
}
_DEFAULT_DURATION = "3600"
_LOST = "Runs that are dequeued {until} are dropped; they do not run later."


def confirm_revoke(visit: Visit) -> Confirmation:
    """Return the confirmation to revoke a task, or every run of a task."""
    return _confirm_switch(visit, REVOKE)


def confirm_pause(visit: Visit) -> Confirmation:
    """Return the confirmation to pause a task for a time."""
    return _confirm_switch(visit, PAUSE_ACT)


def _confirm_switch(visit: Visit, act: str) -> Confirmation:
    key, name = find_target(visit.request.query, act)
    is_task = key.startswith(TOKEN)
    facts, value = [], ""
    if is_task:
        found, _ = visit.queue.find_task(name)
        facts += task_facts(found)
        refusal = _refusal_for_task(found.explanation, key in found.digests)
        effects = ["A revoke token is stored. The worker that dequeues this task drops it."]
        python = f"{huey_variable(visit.queue.huey)}.revoke_by_id({name!r})"
    else:
        pause, _ = visit.queue.find_pause(name)
        facts += pause_facts(visit, pause)
        refusal = refusal_for_name(visit, name)
        value = "" if pause is None else pause.digest
        effects = [
            "A pause switch is stored; it replaces the present one."
            if value
            else "A pause switch is stored.",
            "If another switch is stored before you confirm, nothing is changed.",
            _LOST.format(
                until="while the task is paused"
                if act == PAUSE_ACT
                else "until you restore the task"
            ),
        ]
        python = _python_switch(visit, name, act)
    effects.append("A task that is running now is not interrupted.")
    question = button = "Pause" if act == PAUSE_ACT else "Revoke"
    if act == REVOKE and not is_task:
        question, button = "Revoke every run of", "Revoke every run"
    return Confirmation(
        visit.queue.state(),
        act,
        question,
        name,
        button,
        page_of(visit, key, name),
        facts,
        effects,
        refusal,
        {**dict(visit.request.query), "value": value, FIELD: new_form_id()},
        tuple(_DURATIONS.items()) if act == PAUSE_ACT else (),
        _DEFAULT_DURATION if act == PAUSE_ACT else "",
        python,
        is_python=True,
    )


def _python_switch(visit: Visit, name: str, act: str) -> str:
    until = ""
    if act == PAUSE_ACT:
        until = f"revoke_until=datetime.now() + timedelta(seconds={_DEFAULT_DURATION})"
    imports = "from datetime import datetime, timedelta\n" if until else ""
    path = task_path(visit.queue.huey, name)
    if path:
        return f"{imports}{path}.revoke({until})"
    huey = huey_variable(visit.queue.huey)
    task = f"{huey}._registry.string_to_task({name!r})"
    return f"{imports}{huey}.revoke_all({task}{', ' if until else ''}{until})"


def _refusal_for_task(explanation: Explanation, is_revoked: bool) -> str:
    if is_revoked:
        return "The task is already revoked. To change that, delete its token first."
    if explanation.has_ended and not explanation.places:
        return "The task has ended, so there is nothing to revoke."
    if not explanation.known:
        return (
            "No task with this id was found, so a token would have no effect now. If a worker "
            "dequeued the task just now, it is shown within five seconds."
        )
    return ""


def refusal_for_name(visit: Visit, name: str) -> str:
    """Return why a pause switch of a task would have no effect; empty if it would have one."""
    if name == RUN_TASK_NAME:
        return ""
    declared = is_declared(visit.queue.huey, name)
    if declared:
        return ""
    known = {row.name for row in _content.task_rows(visit.queue.state())}
    if declared is False:
        return (
            f"This Huey has no task {_text.clean(name)!r}, so a pause switch would have no effect. "
            "A single Django task cannot be paused: Huey runs all Django tasks as one Huey task."
        )
    if name not in known or name.endswith("…"):
        return f"No process has counted a task {_text.clean(name)!r}."
    return ""


def revoke(visit: Visit) -> Response:
    """Revoke the task, or the tasks, of the form."""
    return _store(visit, REVOKE, None)


def pause(visit: Visit) -> Response:
    """Pause the task of the form for the chosen time."""
    chosen = form_fields(visit).get("choice", "")
    if chosen not in _DURATIONS:
        raise Refused(UNCHANGED, "Choose how long to pause the task.")
    return _store(visit, PAUSE_ACT, int(chosen))


def _store(visit: Visit, act: str, seconds: int | None) -> Response:
    queue, form = visit.queue, form_fields(visit)
    key, name = target_of_form(visit, act)
    if key.startswith(PAUSE) and (refusal := refusal_for_name(visit, name)):
        raise Refused(UNCHANGED, refusal)
    # As Huey's own revoke() does, which takes the class of a task that may not be imported here.
    until = None if seconds is None else queue.huey._get_timestamp() + timedelta(seconds=seconds)
    (raw,) = open_store(queue.huey).get([key])
    if ("" if raw is None else digest(raw)) != form.get("value", ""):
        raise _changed(key, name)
    if raw is not None and not Reader(queue.huey).is_token(raw):
        raise Refused(UNCHANGED, NO_TOKEN)
    if key.startswith(TOKEN):  # the task may have ended since the page was shown
        found = queue.find_task_now(name)
        if refusal := _refusal_for_task(found.explanation, key in found.digests):
            raise Refused(UNCHANGED, refusal)
    use_form(visit, UNCHANGED)
    new = (until, False)
    if raw is None:
        is_stored = queue.huey.put_if_empty(key, new)
    else:
        is_stored = open_store(queue.huey).compare_and_set(
            key, raw, queue.huey.serializer.serialize(new)
        )
    if not is_stored:
        raise _changed(key, name)
    record(visit, act, name, 1)
    if key.startswith(TOKEN):
        return redirect(visit, "task", act, id=name)
    return redirect(visit, "task", EVERY_RUN if act == REVOKE else act, name=name)


def _changed(key: str, name: str) -> Refused:
    if key.startswith(TOKEN):
        return Refused(UNCHANGED, f"The task {_text.clean(name)} is already revoked.")
    return Refused(
        UNCHANGED,
        f"The pause switch of {_text.clean(name)} was stored, replaced or deleted since the page "
        "was shown. Open the page of the task again.",
    )
