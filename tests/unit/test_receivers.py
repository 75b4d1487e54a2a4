"""Whatever a subclass of Huey adds to a signal, the kit's receivers take it."""

from __future__ import annotations

import logging

import pytest
from huey import MemoryHuey, RetryTask
from huey.exceptions import CancelExecution, TaskLockedException

from huey_signals_kit import get_kit, install_handlers
from tests.support import run_all, tokens


class Named(MemoryHuey):
    """As meeb/tubesync's: receivers learn which Huey it was."""

    def _emit(self, signal, task, *args, **kwargs):
        super()._emit(signal, task, *args, huey=self, exception="none", **kwargs)


class After(MemoryHuey):
    """With one more after the exception."""

    def _emit(self, signal, task, *args, **kwargs):
        super()._emit(signal, task, *args, self, "more", **kwargs)


class Before(MemoryHuey):
    """With one more in the place of the exception."""

    def _emit(self, signal, task, *args, **kwargs):
        super()._emit(signal, task, self, *args, **kwargs)


class ByName(MemoryHuey):
    """With the exception by its name."""

    def _emit(self, signal, task, exc=None, **kwargs):
        super()._emit(signal, task, exc=exc, **kwargs)


@pytest.fixture(params=[Named, After, Before, ByName])
def huey(request):
    """A Huey of each kind."""
    return request.param("additions")


def every_end(huey):
    """Tasks that end in each way that Huey has a signal for."""
    raised = iter([ValueError("failed"), CancelExecution(), RetryTask(), KeyboardInterrupt()])

    @huey.task()
    def ends():
        raise next(raised)

    @huey.task()
    @huey.lock_task("held")
    def guarded():
        raise AssertionError("it was locked")

    for _ in range(3):
        ends()
    guarded()
    revoked = ends()
    revoked.revoke()
    guarded.schedule(delay=1000)
    with huey.lock_task("held"):
        run_all(huey)


@pytest.mark.parametrize("sinks", [None, "memory"])
def test_the_kit_works_and_huey_logs_no_failed_receiver(huey, sinks, caplog):
    """Skips are counted and not stored, spent tokens are gone, errors have their exception."""
    kit = install_handlers(huey, sinks=sinks, sentry=True, quiet_logs=True)
    seen = []
    kit.on("error")(lambda event: seen.append(event.exception))
    with caplog.at_level(logging.ERROR):
        every_end(huey)
    assert "Error occurred in receiver" not in caplog.text
    assert kit.count("huey_lock_skips_total") == 1
    assert not any(
        isinstance(huey.serializer.deserialize(value), TaskLockedException)
        for value in huey.all_results().values()
    )
    assert tokens(huey) == set()
    assert list(map(str, seen)) == ["failed"]


def test_each_connected_receiver_takes_anything_more(make_huey):
    """All of them, called for each of their signals with more than Huey passes."""
    huey = make_huey()
    kit = install_handlers(huey, sinks="memory", sentry=True, quiet_logs=True)
    kit.on()(lambda event: None)
    task = huey.task(name="task")(lambda: None).s()
    connected = {(name, each) for name, some in huey._signal.receivers.items() for each in some}
    assert len(connected) > 20
    for signal, receiver in connected:
        receiver(signal, task, ValueError("x"), 1, 2, huey=huey, signal=1, task=2, exception=3)
        receiver(signal, task, "text", self=1, exc=None)
        receiver(signal, task)
    assert get_kit(huey) is kit
