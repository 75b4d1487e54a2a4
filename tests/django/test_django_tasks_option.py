"""The decorator ``lock_errors`` for the functions of Django tasks."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from huey import MemoryHuey

from huey_signals_kit import install_handlers
from huey_signals_kit.dispatch import task_option
from huey_signals_kit.dispatch.task_option import TaskOption
from tests.support import hold, run_all

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
    """The message says what is allowed."""
    with pytest.raises(error, match="takes 'drop', 'keep', or seconds") as raised:
        lock_errors(option)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("decorated", "text"),
    [
        (own_tasks.greet, r"write @lock_errors\('keep'\) under @task"),
        (MemoryHuey("t").task()(function), r"write @huey.task\(lock_errors='keep'\)"),
        (3, "got 3"),
        (len, "got <built-in function len>, on which no option can be set; write a function that"),
    ],
    ids=["Django task", "Huey task", "number", "builtin"],
)
def test_what_is_no_function_is_refused(decorated, text):
    """The message says where the decorator belongs."""
    with pytest.raises(TypeError, match=text):
        lock_errors("keep")(decorated)


def test_it_sets_an_attribute_of_the_function():
    """The decorator returns the function itself."""

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
    """The worker does so if a Django task of its process was declared with seconds."""
    monkeypatch.setattr(task_option, "_django_seconds", seconds)
    huey = make_huey()
    assert TaskOption.expires_errors_of(huey) is False
    with own_tasks.tasks_on(huey):
        assert TaskOption.expires_errors_of(huey) is begins


def test_the_recipe_declares_it():
    """The code of the page ``recipes/django.md`` runs, on both versions of Django."""
    page = Path(__file__).parents[2] / "recipes" / "django.md"
    section = page.read_text().split("## Django's own tasks")[1]
    (code,) = (
        each for each in re.findall(r"```python\n(.*?)```", section, re.S) if "@task" in each
    )
    module = own_tasks.task.__module__.partition(".tasks.")[0].partition(".")[0]
    if module == "django_tasks":
        code = code.replace("from django.tasks import", "from django_tasks import")
    names = {"__name__": own_tasks.__name__}
    exec(code, names)
    assert names["import_orders"].func.lock_errors == "keep"
    assert names["import_orders"].module_path == f"{own_tasks.__name__}.import_orders"


def test_an_attribute_that_was_set_by_hand_and_is_wrong(make_huey, monkeypatch, caplog):
    """The kit ignores it, and logs it once with the name of the function."""
    monkeypatch.setattr(own_tasks.guarded.func, "lock_errors", "kep", raising=False)
    huey = make_huey()
    install_handlers(huey)
    hold(huey, own_tasks.LOCK)
    with own_tasks.tasks_on(huey), caplog.at_level(logging.ERROR, "huey_signals_kit"):
        ids = [own_tasks.guarded.enqueue().id for _ in range(2)]
        run_all(huey)
    assert [own_tasks.record(huey, task_id) for task_id in ids] == [None, None]
    text = f"Task {own_tasks.__name__}.guarded has lock_errors='kep', which is ignored."
    assert caplog.text.count(text) == 1
