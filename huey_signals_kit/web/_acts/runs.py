"""Run a periodic task once now, and run a failed task again.

Huey deletes a message when a worker takes it, and a stored error has no arguments. So a failed task
can be run again only if its arguments are stored elsewhere, which is so for Django's own tasks: the
record of such a task has them.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

from ...huey_internals.django_records import FAILED, DjangoRecord, parse_record
from ...huey_internals.django_tasks import BACKEND, is_task_object, module_path
from ...store import Reader, Unreadable, open_store
from ...store.failures import is_storage_failure
from ...store.keys import DJANGO
from ...upkeep import Explanation
from .. import _text
from .._page import NotFound, Refused
from .._request import Response
from .._site import Visit
from .._switches import Pause, digest, read_pause
from .command import huey_variable, is_path, task_path
from .confirmation import Confirmation, form_fields, record, redirect
from .once import FIELD, new_form_id, use_form
from .targets import NO_OBJECT, pause_facts, task_facts

NOW, AGAIN = "run-now", "run-again"
_NOTHING = "Nothing was enqueued"
NO_MESSAGE = (
    "This task cannot be run again from here: Huey deletes the message of a task when a worker "
    "dequeues it, and the stored error does not have the arguments. Enqueue the task again from "
    "the application."
)


def confirm_now(visit: Visit) -> Confirmation:
    """Return the confirmation to run a periodic task once now."""
    name = visit.request.query.get("name", "")
    if not name:
        raise NotFound(NO_OBJECT)
    state, (pause, _) = visit.queue.state(), visit.queue.find_pause(name)
    refusal = _refusal_now(visit, name) or _refusal_of_pause(pause)
    path = task_path(visit.queue.huey, name)
    huey = huey_variable(visit.queue.huey)
    return Confirmation(
        state,
        NOW,
        "Run now",
        name,
        "Run now",
        visit.url("task", name=name),
        pause_facts(visit, pause),
        (
            "One run is enqueued. The periodic schedule does not change.",
            "If the task needs a lock that is held, this run is skipped or waits like any other.",
        ),
        refusal,
        {"name": name, FIELD: new_form_id()},
        command=f"{path}()" if path else f"{huey}.enqueue(task_class())",
        is_python=True,
    )


def _refusal_now(visit: Visit, name: str) -> str:
    huey = visit.queue.huey
    task_class = huey._registry._registry.get(name)
    if task_class is None:
        return _not_imported(name)
    if not hasattr(task_class, "validate_datetime"):
        return "Only periodic tasks can be run from here: other tasks may need arguments."
    if huey.immediate:
        return "This Huey runs tasks immediately, so the task would run in the server of this page."
    return ""


def _not_imported(task: str) -> str:
    return (
        f"The server of this page has not imported the task {_text.clean(task)!r}. Import its "
        "module in the module that creates the Huey."
    )


def _refusal_of_pause(pause: Pause | None) -> str:
    if pause is None or pause.is_over:
        return ""
    return "The task is paused, so a worker would skip this run. Resume the task first."


def run_now(visit: Visit) -> Response:
    """Enqueue one run of the periodic task of the form."""
    queue, form = visit.queue, form_fields(visit)
    name = form.get("name", "")
    pause = read_pause(queue.huey, name)
    if refusal := _refusal_now(visit, name) or _refusal_of_pause(pause):
        raise Refused(_NOTHING, refusal)
    use_form(visit, _NOTHING)
    task = queue.huey._registry._registry[name]()
    queue.huey.enqueue(task)
    record(visit, NOW, name, 1)
    return redirect(visit, "task", NOW, name=name)


def refusal_again(explanation: Explanation, raw: bytes | None, reader: Reader) -> str:
    """Return why a task cannot be run again; empty if it can.

    Args:
        explanation: What is known of the task.
        raw: The stored record of Django for the task; None if there is none.
        reader: The reader of the Huey.
    """
    result = explanation.result
    if any(not place.path and place.alive is not False for place in explanation.places):
        return "The task is still queued, scheduled or running, so it need not be enqueued again."
    if raw is None:
        if result is None or result.kind != "error":
            return "No error of this task is stored, so there is nothing to run again."
        return NO_MESSAGE
    failed = _failed_record(explanation.task_id, raw, reader)
    if failed is None:
        return "The record of this task does not say that it failed."
    if _django_task(failed) is None:
        return _not_imported(module_path((failed.fields.get("task_path"),)) or "?")
    if _arguments(failed) is None:
        return "The record of this task has no arguments that can be read."
    return ""


def _failed_record(task_id: str, raw: bytes, reader: Reader) -> DjangoRecord | None:
    try:
        found = parse_record(reader.value(raw), task_id)
    except Unreadable:
        return None
    return found if found is not None and found.status == FAILED else None


def _django_task(failed: DjangoRecord) -> Any:
    """Return the object of Django's task; None if its module is not imported already."""
    path = module_path((failed.fields.get("task_path"),)) or ""
    module, _, attribute = path.rpartition(".")
    found = getattr(sys.modules.get(module), attribute, None)
    return found if is_task_object(found) else None


def _arguments(failed: DjangoRecord) -> tuple[list[Any], dict[str, Any]] | None:
    """Return the arguments; None if they are not plain JSON values, which Django requires."""
    args, kwargs = failed.fields.get("args"), failed.fields.get("kwargs")
    if failed.expires or type(args) is not list or type(kwargs) is not dict:
        return None
    try:
        copied = json.loads(json.dumps([args, kwargs]))
    except (TypeError, ValueError, RecursionError):
        return None
    return (args, kwargs) if copied == [args, kwargs] else None


def _refusal(visit: Visit, explanation: Explanation, raw: bytes | None) -> str:
    queue = visit.queue
    refusal = refusal_again(explanation, raw, Reader(queue.huey))
    if refusal == NO_MESSAGE and not _refusal_now(visit, explanation.task_name or ""):
        return f"{refusal} It is a periodic task: use Run now on the page of its name."
    if not refusal and getattr(sys.modules.get(BACKEND), "HUEY", None) is not queue.huey:
        return "Django's tasks use another Huey, so enqueue it on the page of that queue."
    if not refusal and queue.huey.immediate:
        return "This Huey runs tasks immediately, so the task would run in the server of this page."
    return refusal


def _read_record(visit: Visit, task_id: str) -> bytes | None:
    (raw,) = open_store(visit.queue.huey).get([DJANGO + task_id])
    return raw


class _Record(NamedTuple):
    """What a confirmation shows of the record of one of Django's own tasks."""

    digest: str
    """A digest of its stored value; empty if there is none."""
    refusal: str
    """Why the task cannot be run again."""
    command: str
    """Python code that runs the task again."""


def _read_again(visit: Visit, explanation: Explanation) -> _Record:
    task_id, reader = explanation.task_id, Reader(visit.queue.huey)
    raw = _read_record(visit, task_id)
    refusal = _refusal(visit, explanation, raw)
    command = "" if refusal else _python_again(task_id, raw, reader)
    return _Record("" if raw is None else digest(raw), refusal, command)


def confirm_again(visit: Visit) -> Confirmation:
    """Return the confirmation to run a failed task again."""
    task_id = visit.request.query.get("id", "")
    if not task_id:
        raise NotFound(NO_OBJECT)
    found, _ = visit.queue.find_task(task_id)
    record = visit.queue.read_record(task_id, lambda: _read_again(visit, found.explanation))
    return Confirmation(
        visit.queue.state(),
        AGAIN,
        "Run again",
        task_id,
        "Run again",
        visit.url("task", id=task_id),
        task_facts(found),
        (
            "The task is enqueued again, with a new id and the same arguments. The record of the "
            "failed task stays.",
        ),
        record.refusal,
        {"id": task_id, "value": record.digest, FIELD: new_form_id()},
        command=record.command,
        is_python=True,
    )


def _python_again(task_id: str, raw: bytes | None, reader: Reader) -> str:
    failed = None if raw is None else _failed_record(task_id, raw, reader)
    path = "" if failed is None else module_path((failed.fields.get("task_path"),)) or ""
    module, _, function = path.rpartition(".")
    if not module or not is_path(path):
        return ""
    return (
        f"from {module} import {function}\n"
        f"failed = {function}.get_result({task_id!r})\n"
        "failed.task.enqueue(*failed.args, **failed.kwargs)"
    )


def run_again(visit: Visit) -> Response:
    """Enqueue the failed task of the form again, from the record that the page has shown."""
    queue, form = visit.queue, form_fields(visit)
    task_id = form.get("id", "")
    raw = _read_record(visit, task_id)
    if raw is None or digest(raw) != form.get("value", ""):
        raise Refused(_NOTHING, "The record of the task has changed since the page was shown.")
    found = queue.find_task_now(task_id)
    if refusal := _refusal(visit, found.explanation, raw):
        raise Refused(_NOTHING, refusal)
    failed = _failed_record(task_id, raw, Reader(queue.huey))
    task, arguments = (None, None) if failed is None else (_django_task(failed), _arguments(failed))
    if failed is None or task is None or arguments is None:
        raise Refused(_NOTHING, "The record of the task has changed since the page was shown.")
    use_form(visit, _NOTHING)
    args, kwargs = arguments
    options = {
        option: failed.fields[option]
        for option, kind in (("priority", int), ("queue_name", str), ("backend", str))
        if type(failed.fields.get(option)) is kind
    }
    try:
        task.using(**options).enqueue(*args, **kwargs)
    except Exception as exc:
        if is_storage_failure(queue.huey, exc):
            raise  # the storage may have enqueued the task before it failed
        # The text of the error may have arguments.
        raise Refused(_NOTHING, f"Django did not accept the task: {type(exc).__name__}.") from exc
    record(visit, AGAIN, task_id, 1)
    return redirect(visit, "task", AGAIN, id=task_id)
