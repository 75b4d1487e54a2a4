"""If the kit's own code fails, Huey stores the error as it does without the kit."""

from __future__ import annotations

import pytest
from huey import MemoryHuey
from huey.utils import Error

from huey_signals_kit import gate, install_handlers
from huey_signals_kit.dispatch.reporter import Reporter
from huey_signals_kit.gate import Gate
from tests.support import hold, run_all, store


class Overriding(MemoryHuey):
    """A Huey whose errors say where they come from."""

    def build_error_result(self, task, exception):
        """Add a field."""
        return {**super().build_error_result(task, exception), "shop": "north"}


def fail(*args):
    """Fail as a fault of the kit would."""
    raise ZeroDivisionError("a fault of the kit")


def skipped(huey, **options):
    """Have a task with these options meet a held lock; return what is stored of it."""

    @huey.task(**options)
    @huey.lock_task("held")
    def guarded():
        return None

    hold(huey, "held")
    task = guarded()
    run_all(huey)
    return huey.serializer.deserialize(stored) if (stored := raw(huey, task.id)) else None


def raw(huey, task_id):
    """Return the stored value of a result, or None."""
    return huey.storage._results.get(task_id)


@pytest.mark.parametrize(
    ("make", "where", "name"),
    [
        (MemoryHuey, Gate, "_resolve_verdict"),
        (MemoryHuey, gate, "_short_metadata"),
        (Overriding, Gate, "_resolve_verdict"),
        (Overriding, gate, "_changed_metadata"),
    ],
)
def test_a_fault_before_the_store_leaves_the_error_to_huey(make, where, name, monkeypatch, caplog):
    """It has its traceback, and the fields of a subclass; the log says once what has happened."""
    huey = make("shop")
    install_handlers(huey)
    monkeypatch.setattr(where, name, fail)
    error = skipped(huey)
    assert isinstance(error, Error)
    assert "TaskLockedException" in error.metadata["error"]
    assert error.metadata["traceback"]  # what Huey has written; the kit would write ""
    assert error.metadata.get("shop") == ("north" if make is Overriding else None)
    (line,) = [each for each in caplog.records if each.name == "huey_signals_kit"]
    assert "in build_error_result" in line.getMessage()
    assert line.exc_info[0] is ZeroDivisionError


def test_a_fault_after_the_decision_fails_no_task(monkeypatch, caplog):
    """The error is dropped although it could not be counted."""
    monkeypatch.setattr(Reporter, "result_suppressed", fail)
    huey = MemoryHuey("shop")
    install_handlers(huey)
    assert skipped(huey) is None
    assert "in put_result" in caplog.text
    assert "Unhandled" not in caplog.text
    assert set(store(huey)) == {"shop.lock.held"}


def test_a_gate_that_was_taken_out_applies_no_verdict():
    """Also where other code has wrapped its wrapper since, and the task has a verdict itself."""
    huey = MemoryHuey("shop")
    kit = install_handlers(huey)
    wrapped = huey.build_error_result
    huey.build_error_result = lambda *args: wrapped(*args)
    kit.uninstall()
    assert skipped(huey, lock_errors="drop").metadata["traceback"]


def test_a_task_whose_option_cannot_be_read_keeps_its_error():
    """A ``lock_errors`` that raises is a fault of the user's; the real error is stored as usual."""
    huey = MemoryHuey("shop")
    install_handlers(huey)
    task = huey.task()(fail)
    task.task_class.lock_errors = property(fail)
    result = task()
    run_all(huey)
    error = huey.serializer.deserialize(raw(huey, result.id))
    assert "ZeroDivisionError" in error.metadata["error"]
    assert error.metadata["traceback"]
