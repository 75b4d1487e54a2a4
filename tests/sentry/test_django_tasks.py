"""Sentry's events of Django's own tasks, each of whose failures Django logs itself."""

from __future__ import annotations

import pytest

from tests.sentry.transport import title
from tests.support import hold, run_all

own_tasks = pytest.importorskip("tests.django.own_tasks", exc_type=ImportError)


@pytest.fixture
def titles(start, install, make_huey):
    """Return a function that runs a task, and returns what the events are about."""

    def titles(task, preset="quiet-locks"):
        sentry, huey = start(), make_huey()
        if preset is not None:
            install(huey, preset=preset)
        with own_tasks.tasks_on(huey):
            hold(huey, own_tasks.LOCK)
            task.enqueue()
            run_all(huey)
        return [title(event) for event in sentry.events]

    return titles


def test_a_suppressed_lock_error_sends_nothing(titles):
    """Neither from Huey's integration nor from Django's log."""
    assert titles(own_tasks.guarded) == []


@pytest.mark.parametrize("preset", [None, "observe"])
def test_a_stored_lock_error_is_sent(titles, preset):
    """As it is from bare Huey."""
    assert titles(own_tasks.guarded, preset) == ["TaskLockedException"]


@pytest.mark.parametrize("preset", ["quiet-locks", "reschedule-locks"])
def test_the_declaration_of_the_task_decides(titles, preset):
    """In favour of an event, where the error is kept."""
    assert titles(own_tasks.keeps, preset) == ["TaskLockedException"]


def test_the_declaration_of_the_task_suppresses(titles):
    """Where the error is dropped, but for presets that change nothing."""
    assert titles(own_tasks.drops, "observe") == []


def test_a_real_error_is_sent(titles):
    """With the kit and without."""
    assert titles(own_tasks.fail) == titles(own_tasks.fail, None) != []
