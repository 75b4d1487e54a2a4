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
    from django.tasks import task
    from django.tasks.signals import task_finished
except ImportError:
    from django_tasks import task
    from django_tasks.signals import task_finished

__all__ = ["record", "task_finished", "tasks_on"]

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


@task
def greet(name="you"):
    """Succeed."""
    return f"hello {name}"


@task
def fail():
    """Raise an ordinary error."""
    raise ValueError("broken")


@task
def guarded():
    """Need a lock."""
    with tasks_backend.HUEY.lock_task(LOCK):
        return "done"


@task(takes_context=True)
def guarded_with_context(context, number=0):
    """Need a lock, and the context of the task."""
    with tasks_backend.HUEY.lock_task(LOCK):
        return [context.attempt, number]


def plain():
    """Succeed, as a function whose task has another name."""


plain_task = task(plain)
