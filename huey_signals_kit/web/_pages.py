"""The pages: what each reads, and the template that shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import jinja2

from ..upkeep.monitor.background_read import ReadTimeout
from ..upkeep.monitor.model import SeenTask
from ..upkeep.reports.problems import list_garbage
from . import _charts, _content, _text
from ._acts import ACT_PAGES, NOTICES, encode_field
from ._acts.locks import find_lock, refusal_of
from ._content import LockRow
from ._page import Page
from ._problems import Problem, find_problems
from ._queue import MAX_ROWS, Queue, QueueState
from ._request import Request, Response, json_response
from ._site import Visit, storage_problem
from ._switches import MAX_LISTED, ListedToken
from ._tasks import OneTask, read_task

NAVIGATION = (
    ("", "Overview"),
    ("tasks", "Tasks"),
    ("locks", "Locks"),
    ("tokens", "Tokens"),
    ("consumers", "Processes"),
    ("store", "Store"),
)

_NOTICE_SECONDS = 60.0
OVERVIEW_LOCKS = 10
"""Rows of locks on the overview."""

_PLACES = {"sweep": "tokens", "purge": "store"}
"""The page for each command that deletes garbage."""

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("huey_signals_kit.web", "_templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(
    clean=_text.clean,
    age=_text.format_age,
    reference=_text.reference,
    encode_field=encode_field,
    is_own_reference=_text.is_own_reference,
    number=_text.format_number,
    bytes=_text.format_bytes,
    duration=_text.format_duration,
    moment=_text.format_moment,
)
_templates.globals.update(
    bars=_charts.bars,
    group=_charts.group,
    zip=zip,
    max_rows=MAX_ROWS,
    max_tasks=_content.MAX_TASKS,
)


@dataclass(frozen=True)
class _Overview:
    state: QueueState
    locks: list[LockRow]
    dead_locks: int
    problems: list[Problem]
    garbage: list[tuple[str, str]]
    """What can be deleted, and the page for that."""
    attempts: list[int]
    refused: list[int]
    counts_completed: bool
    refusing_locks: int
    """How many names of locks have refused an attempt in the last hour."""
    running: list[SeenTask]
    workers: int
    hosts: int
    largest: tuple[str, int] | None
    """The kind of keys with most bytes, and its share in percent; None if there is none."""


def _read_overview(visit: Visit) -> _Overview:
    state = visit.queue.state()
    locks = _content.lock_rows(state, OVERVIEW_LOCKS)
    living = [process for process in _content.workers(state) if process.alive is not False]
    running = [task for process in living for task in process.running]
    report = state.report
    return _Overview(
        state,
        locks,
        state.dead_locks,
        find_problems(state, locks),
        [] if report is None else [(name, _PLACES[act]) for name, act in list_garbage(report)],
        _content.attempts_by_minute(state.history),
        _content.refused_by_minute(state.history),
        _content.counts_completed(state),
        _content.count_refusing(state.history),
        sorted(running, key=lambda task: -task.seconds),
        len(living),
        len({process.host for process in living}),
        _largest(state),
    )


def _largest(state: QueueState) -> tuple[str, int] | None:
    kinds = {} if state.report is None else state.report.kinds
    total = sum(kind.bytes for kind in kinds.values())
    if not total:
        return None
    name = max(kinds, key=lambda kind: kinds[kind].bytes)
    return name.replace("_", " "), round(100 * kinds[name].bytes / total)


def _overview_json(content: _Overview) -> dict[str, Any]:
    snapshot = content.state.snapshot
    return {
        **replace(snapshot, locks=()).as_dict(),
        "problems": [str(problem) for problem in content.problems],
        "locks": [row.as_json() for row in content.locks],
        "locks_held": None if snapshot.locks_age is None else len(snapshot.locks),
        "locks_age_seconds": snapshot.locks_age,
        "attempts_by_minute": content.attempts,
        "refused_by_minute": content.refused,
        "age_seconds": content.state.age,
        "store_age_seconds": snapshot.store_age,
    }


@dataclass(frozen=True)
class _Locks:
    state: QueueState
    locks: list[LockRow]


def _read_locks(visit: Visit) -> _Locks:
    state = visit.queue.state()
    return _Locks(state, _content.lock_rows(state))


def _locks_json(content: _Locks) -> dict[str, Any]:
    snapshot = content.state.snapshot
    return {
        "locks": [row.as_json() for row in content.locks],
        "locks_held": None if snapshot.locks_age is None else len(snapshot.locks),
        "locks_age_seconds": snapshot.locks_age,
        "age_seconds": content.state.age,
    }


@dataclass(frozen=True)
class _Lock:
    state: QueueState
    row: LockRow
    refusal: str
    """Why the web interface does not release it; may be empty."""


def _read_lock(visit: Visit) -> _Lock:
    row = find_lock(visit, visit.request.query.get("name", ""))
    return _Lock(visit.queue.state(), row, refusal_of(row))


@dataclass(frozen=True)
class _Shown:
    state: QueueState
    rows: Any = ()


def _read_tasks(visit: Visit) -> _Shown:
    state = visit.queue.state()
    return _Shown(state, _content.task_rows(state))


def _read_state(visit: Visit) -> _Shown:
    return _Shown(visit.queue.state())


@dataclass(frozen=True)
class _Tokens:
    state: QueueState
    tokens: list[ListedToken] | None
    """The first ones; None before they were read."""
    has_more: bool = False
    age: float = 0.0


def _read_tokens(visit: Visit) -> _Tokens:
    state = visit.queue.state()
    try:
        tokens, age = visit.queue.tokens()
    except ReadTimeout:
        return _Tokens(state, None)
    return _Tokens(state, tokens[:MAX_LISTED], len(tokens) > MAX_LISTED, age)


def _tokens_json(content: _Tokens) -> dict[str, Any]:
    tokens = content.tokens
    return {
        **_report_json(content),
        "tokens": None if tokens is None else [token.as_json() for token in tokens],
        "has_more_tokens": content.has_more,
    }


def _rows_json(content: _Shown) -> dict[str, Any]:
    return {
        "tasks": [row.as_json() for row in content.rows[:MAX_ROWS]],
        "tasks_known": len(content.rows),
        "age_seconds": content.state.age,
    }


def _processes_json(content: _Shown) -> dict[str, Any]:
    snapshot = replace(content.state.snapshot, locks=())
    return {"processes": snapshot.as_dict()["processes"], "age_seconds": content.state.age}


def _report_json(content: _Shown | _Tokens) -> dict[str, Any]:
    report = content.state.report
    return {
        "report": None if report is None else report.as_dict(),
        "store_age_seconds": content.state.snapshot.store_age,
    }


PAGES: dict[str, Page] = {
    "overview": Page("Overview", "overview.html", _read_overview, _overview_json, ""),
    "locks": Page(
        "Locks",
        "locks.html",
        _read_locks,
        _locks_json,
        "locks",
    ),
    "lock": Page(
        "Lock",
        "lock.html",
        _read_lock,
        lambda content: content.row.as_json(),
        "locks",
        is_of_object=True,
    ),
    "tasks": Page("Tasks", "tasks.html", _read_tasks, _rows_json, "tasks"),
    "task": Page("Task", "task.html", read_task, OneTask.as_json, "tasks", is_of_object=True),
    "tokens": Page("Tokens", "tokens.html", _read_tokens, _tokens_json, "tokens"),
    "consumers": Page(
        "Processes",
        "consumers.html",
        _read_state,
        _processes_json,
        "consumers",
    ),
    "store": Page("Store", "store.html", _read_state, _report_json, "store"),
    **ACT_PAGES,
}


def render(visit: Visit, page: Page, content: Any) -> Response:
    """Return a page as HTML."""
    body = _templates.get_template(page.template).render(
        title=page.title,
        tab=page.tab,
        visit=visit,
        navigation=NAVIGATION,
        refreshes=True,
        notice="" if getattr(content, "is_ended", False) else _notice(visit.request),
        content=content,
        state=content.state,
        failure=_failure(visit, content.state),
    )
    headers = (("Refresh", "2"),) if getattr(content, "progress", "") else ()
    return Response(200, body.encode("utf-8", "replace"), headers=headers)


def _notice(request: Request) -> str:
    """Return what was done, for a minute after that: a reload or a link later has the same URL."""
    at = request.query.get("at", "")
    is_recent = at.isdecimal() and len(at) <= 12 and abs(time.time() - int(at)) < _NOTICE_SECONDS
    return NOTICES.get(request.query.get("done", ""), "") if is_recent else ""


def _failure(visit: Visit, state: QueueState) -> str:
    """Return why the content is old; empty if the storage can be read."""
    if state.error is None:
        return ""
    problem = storage_problem(visit.queue.huey, state.error)
    return f"{problem} What is shown was read {_text.format_age(state.age)}."


def message(
    request: Request, status: int, title: str, text: str, visit: Visit | None = None
) -> Response:
    """Return a page that says one thing, such as why a request was refused."""
    body = _templates.get_template("message.html").render(
        title=title, text=text, request=request, visit=visit, navigation=NAVIGATION, tab=None
    )
    return Response(status, body.encode("utf-8", "replace"))


def waiting(visit: Visit, title: str, text: str) -> Response:
    """Return the page for a storage that does not answer; the browser asks again."""
    again = (("Refresh", "2"), ("Retry-After", "2"))
    if visit.request.path.endswith(".json"):
        response = json_response({"error": title, "text": text}, 503)
    else:
        response = message(
            visit.request, 503, title, f"{text} This page loads again in 2 seconds.", visit
        )
    return replace(response, headers=again)


def queues(request: Request, queues: Mapping[str, Queue]) -> Response:
    """Return the list of the queues, which are given by their words in links."""
    links = [(each.name, f"{request.prefix}/{quote(slug)}/") for slug, each in queues.items()]
    body = _templates.get_template("queues.html").render(
        title="Queues", links=links, request=request, visit=None, navigation=NAVIGATION, tab=None
    )
    return Response(200, body.encode("utf-8", "replace"))
