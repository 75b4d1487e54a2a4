"""Django tasks for tests in this process, on Huey's real backend; importing this sets Django up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import django
from django.conf import settings
from huey import MemoryHuey

if not settings.configured:
    settings.configure(
        HUEY=MemoryHuey("django", immediate=False),
        TASKS={"default": {"BACKEND": "huey.contrib.djhuey.tasks_backend.HueyBackend"}},
        USE_TZ=True,
    )
    django.setup()

from huey.contrib.djhuey import close_db, tasks_backend

try:
    from django.tasks import default_task_backend, task
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_finished
except ImportError:
    from django_tasks import default_task_backend, task
    from django_tasks.exceptions import TaskResultDoesNotExist
    from django_tasks.signals import task_finished

from huey_signals_kit.contrib.django import lock_errors

__all__ = [
    "TaskResultDoesNotExist",
    "default_task_backend",
    "finished_tasks",
    "record",
    "tasks_on",
]

LOCK = "report"


@contextmanager
def tasks_on(huey: Any):
    """Have the backend use `huey`, as if it were ``huey.contrib.djhuey.HUEY``."""
    with patch.object(tasks_backend, "HUEY", huey):
        run = huey.task(name="djtasks.run", context=True)
        shim = run(close_db(tasks_backend._execute_django_task))
        with patch.object(tasks_backend, "_shim", shim):
            yield


def record(huey: Any, task_id: str) -> Any:
    """Return what the backend has stored of a Django task; None if there is nothing."""
    return huey.get(f"djt.{task_id}", peek=True)


@contextmanager
def finished_tasks():
    """Collect the ids and states of tasks for which Django's ``task_finished`` is sent."""
    seen: list[tuple[str, str]] = []

    def receive(task_result, **named):
        seen.append((task_result.id, str(task_result.status)))

    task_finished.connect(receive, weak=False)
    try:
        yield seen
    finally:
        task_finished.disconnect(receive)


@task
def greet(name="you"):
    """Succeed."""
    return f"hello {name}"


@task
def fail():
    """Raise an ordinary error."""
    raise ValueError("broken")


@task
def fails_with(text, number=0):
    """Raise an error with the arguments in it."""
    raise ValueError(text, number)


@task
def guarded():
    """Need a lock."""
    with tasks_backend.HUEY.lock_task(LOCK):
        return "done"


@task
@lock_errors("keep")
def keeps():
    """Need a lock; its lock errors are stored."""
    return guarded.func()


@task
@lock_errors("drop")
def drops():
    """Need a lock; its lock errors are not stored."""
    return guarded.func()


@task
@lock_errors(60)
def expires():
    """Need a lock; its lock errors are stored for a minute."""
    return guarded.func()


@task(takes_context=True)
def guarded_with_context(context, number=0):
    """Need a lock, and the context of the task."""
    with tasks_backend.HUEY.lock_task(LOCK):
        return [context.attempt, number]


def plain():
    """Succeed, as a function whose task has another name."""


plain_task = task(plain)
