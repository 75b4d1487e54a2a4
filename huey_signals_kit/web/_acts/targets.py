"""What an act on tokens is about: one task by its id, or every run of a task by its name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ...store.keys import PAUSE, TOKEN
from ...upkeep import Explanation
from ...upkeep.explanation.sentences import sentences
from .. import _text
from .._page import NotFound
from .._site import Visit
from .._switches import Pause

DELETE, REVOKE, RESTORE, PAUSE_ACT, RESUME = "delete-token", "revoke", "restore", "pause", "resume"
UNCHANGED = "Nothing was changed"
NO_OBJECT = "The URL has no id or name of a task, or no key of a token."
_MAX_SENTENCES = 5


def find_target(values: Mapping[str, str], act: str) -> tuple[str, str]:
    """Return the key of the switch that a link or a form is about, and the name in it.

    Raises:
        NotFound: There is neither the id nor the name of a task, or the act takes another one.
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
        raise NotFound("The page cannot change a token whose name is that long.")
    return key, name


def page_of(visit: Visit, key: str, name: str) -> str:
    return visit.url("task", **({"id": name} if key.startswith(TOKEN) else {"name": name}))


def task_facts(explanation: Explanation) -> list[tuple[str, str]]:
    facts = []
    if explanation.task_name:
        facts.append(("Task", _text.clean(explanation.task_name)))
    known = [*sentences(explanation, "huey-signals", show_values=False)][:_MAX_SENTENCES]
    facts.append(("Known", " ".join(map(_text.clean, known)) or "nothing"))
    return facts


def pause_facts(visit: Visit, pause: Pause | None) -> list[tuple[str, str]]:
    if pause is None:
        return [("State", "not paused")]
    if not pause.is_readable:
        return [("State", "the switch cannot be read, so workers may fail on it")]
    if pause.is_over:
        return [("State", f"its pause was over at {_moment(visit, pause.until)}")]
    if pause.once:
        return [("State", "the next run is skipped")]
    until = "without an end" if pause.until is None else f"until {_moment(visit, pause.until)}"
    return [("State", f"paused {until}")]


def _moment(visit: Visit, moment: datetime | None) -> str:
    zone = "UTC" if visit.queue.huey.utc else "local time of the consumers"
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} ({zone})"
