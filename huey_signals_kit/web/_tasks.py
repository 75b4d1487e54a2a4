"""One task: where it is, by its id, or what is known of all its runs, by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ledger import History, history_label
from ..metrics.labels import sanitize_label
from ..upkeep.explanation.sentences import sentences
from ..upkeep.monitor.model import SeenTask
from . import _content, _text
from ._acts import runs, targets
from ._acts.pauses import refusal_for_name
from ._content import TaskRow
from ._page import NotFound
from ._queue import QueueState
from ._site import Visit
from ._switches import TaskState

_ENDS = (*_content.ENDS, "retrying")
_ERRORS = ("error", "timeout")


@dataclass(frozen=True)
class OneTask:
    """What the page of one task shows."""

    state: QueueState
    task_id: str
    """The id; empty for the page of a name."""
    name: str
    """``module.name``; empty if it is not known."""
    row: TaskRow | None = None
    """What was counted of all runs with that name."""
    found: TaskState | None = None
    age: float = 0.0
    """Seconds since it was searched."""
    sentences: Sequence[str] = ()
    arguments: str = ""
    """Its arguments, formatted; empty if they are hidden or unknown."""
    facts: Sequence[tuple[str, str]] = ()
    running: Sequence[SeenTask] = ()
    """Its runs now."""
    acts: Sequence[tuple[str, str]] = ()
    """The titles and paths of the acts that the visit may do."""
    notes: Sequence[str] = field(default_factory=list)
    """Why an act is not possible."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values, without results and errors' texts."""
        content: dict[str, Any] = {
            "id": self.task_id or None,
            "name": self.name or None,
            "counts": None if self.row is None else self.row.as_json(),
            "running": [task.id for task in self.running],
            **{title.lower().replace(" ", "_"): text for title, text in self.facts},
        }
        if self.found is not None:
            explanation = self.found.explanation.as_dict()
            if explanation["result"] is not None:
                explanation["result"]["text"] = None
            content |= {"explanation": explanation, "sentences": list(self.sentences)}
            content["arguments"] = self.arguments or None
        return {**content, "age_seconds": self.age}


def read_task(visit: Visit) -> OneTask:
    """Return what is known of the task of the query.

    Raises:
        NotFound: There is no such task.
        ReadTimeout: It is being searched.
    """
    query = visit.request.query
    if query.get("id"):
        return _read_id(visit, query["id"])
    if query.get("name"):
        return _read_name(visit, query["name"])
    raise NotFound(targets.NO_OBJECT)


def _read_id(visit: Visit, task_id: str) -> OneTask:
    state, (found, age) = visit.queue.state(), visit.queue.find_task(task_id)
    explanation = found.explanation
    name = explanation.task_name or ""
    own = f"r:{task_id}" in found.digests
    links, notes = [], []
    if own:
        links.append((targets.RESTORE, "Restore", {"id": task_id}))
    elif explanation.places:
        links.append((targets.REVOKE, "Revoke", {"id": task_id}))
    if explanation.result is not None and explanation.result.kind == "error":
        if found.has_record:
            links.append((runs.AGAIN, "Run again", {"id": task_id}))
        else:
            notes.append(runs.NO_MESSAGE)
    known = list(sentences(explanation, show_values=False))
    if not explanation.known:
        known.insert(
            0,
            "No trace of this task was found. It may have ended without a result, or the id is "
            "wrong.",
        )
    return OneTask(
        state,
        task_id,
        name,
        _row(state, name),
        found,
        age,
        known,
        found.arguments,
        acts=_allowed(visit, links),
        notes=notes,
    )


def _read_name(visit: Visit, name: str) -> OneTask:
    state, (pause, age) = visit.queue.state(), visit.queue.find_pause(name)
    row, task_class = _row(state, name), visit.queue.huey._registry._registry.get(name)
    if row is None and task_class is None and pause is None:
        raise NotFound(
            f"Unknown task {_text.clean(name)!r}: no process has counted one, and this server has "
            "not imported one."
        )
    facts = list(targets.pause_facts(visit, pause))
    facts.append(("Last attempt", _last(state.history, name, _ENDS)))
    facts.append(("Last error", _last(state.history, name, _ERRORS)))
    refusal = refusal_for_name(visit, name)
    links: list[tuple[str, str, dict[str, str]]] = []
    if pause is not None:
        forever = pause.until is None and not pause.is_over
        act, title = (targets.RESTORE, "Restore") if forever else (targets.RESUME, "Resume")
        links.append((act, title, {"name": name}))
    if not refusal:
        links.append((targets.PAUSE_ACT, "Pause", {"name": name}))
        links.append((targets.REVOKE, "Revoke every run", {"name": name}))
    if hasattr(task_class, "validate_datetime"):
        links.append((runs.NOW, "Run now", {"name": name}))
    running = [
        task
        for process in state.snapshot.processes
        if process.alive is not False
        for task in process.running
        if task.name == name
    ]
    return OneTask(
        state,
        "",
        name,
        row,
        age=age,
        facts=facts,
        running=running,
        acts=_allowed(visit, links),
        notes=[refusal] if refusal else [],
    )


def _row(state: QueueState, name: str) -> TaskRow | None:
    label = sanitize_label(name)
    return next((row for row in _content.task_rows(state) if name and row.name == label), None)


def _allowed(
    visit: Visit, links: Sequence[tuple[str, str, dict[str, str]]]
) -> list[tuple[str, str]]:
    return [
        (title, visit.url(f"act/{act}", **query))
        for act, title, query in links
        if act in visit.acts and all(map(_text.is_own_reference, query.values()))
    ]


def _last(history: History, name: str, signals: Sequence[str]) -> str:
    """Return how long ago the last of some signals of a task was counted."""
    label = history_label(sanitize_label(name))
    for rows, seconds in ((history.minutes, 60), (history.hours, 3600)):
        counts = [
            row
            for (kind, *labels), row in rows.items()
            if kind == "signal" and labels[0] == label and labels[1] in signals
        ]
        for ago in range(max(map(len, counts), default=0)):
            if any(row[-1 - ago] for row in counts):
                return f"{_text.format_duration(ago * seconds)} ago" if ago else "just now"
    return "none counted in the last 72 hours"
