"""The target of an action on tokens: one task by its id, or every run of a task by its name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ...store.keys import PAUSE, TOKEN
from ...upkeep.explanation.sentences import sentences
from .. import _text
from .._page import NotFound, Refused
from .._site import Visit
from .._switches import Pause, TaskState, is_switch
from .confirmation import form_fields

DELETE, REVOKE, RESTORE, PAUSE_ACT, RESUME = "delete-token", "revoke", "restore", "pause", "resume"
EVERY_RUN = "revoke-every-run"
"""The notice for `REVOKE` of a name."""
UNCHANGED = "Nothing was changed"
NO_TOKEN = (
    "The value under this key is not a readable token. It may be of another Huey in the same "
    "storage, so nothing is changed."
)
NO_OBJECT = "The URL has no id or name of a task, or no key of a token."
_MAX_SENTENCES = 5


def find_target(values: Mapping[str, str], act: str) -> tuple[str, str]:
    """Return the key of the token or switch of a link or a form, and the name in it.

    Raises:
        NotFound: There is no task or token, or the action does not take that kind.
    """
    task_id, name, key = values.get("id", ""), values.get("name", ""), values.get("key", "")
    if act == DELETE:
        prefix = next((each for each in (PAUSE, TOKEN) if key.startswith(each)), "")
        name = key[len(prefix) :] if prefix else ""
    elif task_id and act in (REVOKE, RESTORE):
        key, name = TOKEN + task_id, task_id
    else:
        key = PAUSE + name
    if not name:
        raise NotFound(NO_OBJECT)
    if not _text.is_own_reference(key):
        raise NotFound(
            "The name of this token is too long, or has bytes that are not UTF-8; use the command "
            "huey-signals tokens delete."
        )
    return key, name


def target_of_form(visit: Visit, act: str) -> tuple[str, str]:
    """Return what `find_target` finds in the form of a request.

    Raises:
        Refused: There is no task or token, or the key is of another kind, such as a lock.
    """
    try:
        key, name = find_target(form_fields(visit), act)
    except NotFound as exc:
        raise Refused(UNCHANGED, str(exc.args[0])) from None
    if not is_switch(visit.queue.huey, key):
        raise Refused(UNCHANGED, not_a_switch(key))
    return key, name


def not_a_switch(key: str) -> str:
    """Return the sentence for a key that is neither of a revoke token nor of a pause switch."""
    return f"{_text.clean(key)!r} is not the key of a revoke token or a pause switch."


def page_of(visit: Visit, key: str, name: str) -> str:
    """Return the path of the page of the task or tasks that a token or switch is about."""
    return visit.url("task", **({"id": name} if key.startswith(TOKEN) else {"name": name}))


def task_facts(found: TaskState) -> list[tuple[str, str]]:
    """Return what a confirmation shows of one task: a title and a text each."""
    explanation, facts = found.explanation, []
    if explanation.task_name:
        facts.append(("Task", _text.clean(explanation.task_name)))
    if found.arguments:
        facts.append(("Arguments", found.arguments))
    known = [*sentences(explanation, show_values=False)][:_MAX_SENTENCES]
    facts.append(("Known", " ".join(map(_text.clean, known)) or "nothing"))
    return facts


def pause_facts(visit: Visit, pause: Pause | None) -> list[tuple[str, str]]:
    """Return what a confirmation shows of the pause switch of a task."""
    if pause is None:
        return [("State", "not paused")]
    if not pause.is_readable:
        return [("State", "the pause switch cannot be read; workers that read it may fail")]
    if pause.is_over:
        return [("State", f"not paused; the last pause ended at {_moment(visit, pause.until)}")]
    if pause.once:
        return [("State", "the next run is skipped")]
    until = "forever" if pause.until is None else f"until {_moment(visit, pause.until)}"
    return [("State", f"paused {until}")]


def _moment(visit: Visit, moment: datetime | None) -> str:
    zone = "UTC" if visit.queue.huey.utc else "local time of the consumers"
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} ({zone})"
