"""The decorator ``lock_errors`` for the functions of Django tasks."""

from __future__ import annotations

import pytest
from huey import MemoryHuey

from huey_signals_kit.dispatch import task_option
from huey_signals_kit.dispatch.task_option import TaskOption

own_tasks = pytest.importorskip("tests.django.own_tasks", exc_type=ImportError)
lock_errors = own_tasks.lock_errors


def function():
    """Do nothing."""


@pytest.mark.parametrize(
    ("option", "error", "text"),
    [
        ("kep", ValueError, "got 'kep'. Did you mean 'keep'?"),
        (0, ValueError, "seconds above 0 and at most ten years, got 0"),
        (1e12, ValueError, "at most ten years"),
        (float("nan"), ValueError, "got nan"),
        (True, TypeError, "got True"),
        (None, TypeError, "got None"),
        (function, TypeError, "got <function"),
    ],
)
def test_a_wrong_option_is_refused_immediately(option, error, text):
    """With what is allowed."""
    with pytest.raises(error, match="takes 'drop', 'keep', or seconds") as raised:
        lock_errors(option)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("decorated", "text"),
    [
        (own_tasks.greet, r"write @lock_errors\('keep'\) under @task"),
        (MemoryHuey("t").task()(function), r"write @huey.task\(lock_errors='keep'\)"),
        (3, "got 3"),
    ],
    ids=["Django task", "Huey task", "number"],
)
def test_what_is_no_function_is_refused(decorated, text):
    """With where the decorator belongs."""
    with pytest.raises(TypeError, match=text):
        lock_errors("keep")(decorated)


def test_it_sets_an_attribute_of_the_function():
    """And returns the function itself."""

    def own():
        return None

    assert lock_errors(5)(own) is own
    assert own.lock_errors == 5


def test_a_lock_around_the_function_keeps_the_attribute():
    """The decorators may come in either order."""

    @MemoryHuey("t").lock_task("x")
    @lock_errors("keep")
    def own():
        return None

    assert own.lock_errors == "keep"


@pytest.mark.parametrize(("seconds", "begins"), [([], False), ([60], True)])
def test_a_worker_deletes_expired_errors_from_its_start(make_huey, monkeypatch, seconds, begins):
    """If a Django task of its process was declared with seconds."""
    monkeypatch.setattr(task_option, "_django_seconds", seconds)
    huey = make_huey()
    assert TaskOption.expires_errors_of(huey) is False
    with own_tasks.tasks_on(huey):
        assert TaskOption.expires_errors_of(huey) is begins
