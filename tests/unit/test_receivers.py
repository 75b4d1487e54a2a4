"""Whatever a subclass of Huey adds to a signal, the kit's receivers take it."""

from __future__ import annotations

import logging

import pytest
from huey import MemoryHuey, RetryTask
from huey.exceptions import CancelExecution, TaskLockedException

from huey_signals_kit import Registry, get_kit, install_handlers
from huey_signals_kit.dispatch import handler, receiver
from huey_signals_kit.dispatch.filters import TaskFilter
from huey_signals_kit.handlers import count_signals
from huey_signals_kit.signals import lock_skipped
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
    for signal, receive in connected:
        receive(signal, task, ValueError("x"), 1, 2, huey=huey, signal=1, task=2, exception=3)
        receive(signal, task, "text", self=1, exc=None)
        receive(signal, task)
    assert get_kit(huey) is kit


def test_filters_of_tasks_are_asked_once_for_each_class_of_tasks(monkeypatch):
    """So 200 handlers of other tasks cost nothing; a handler that is added later is asked, too."""
    huey, asked, ran = MemoryHuey("classes"), [], []
    is_match = TaskFilter.__call__
    monkeypatch.setattr(
        TaskFilter, "__call__", lambda self, task: asked.append(1) or is_match(self, task)
    )

    @huey.task()
    def fails():
        raise ValueError("failed")

    with install_handlers(huey, preset=[]) as kit:
        for number in range(20):
            kit.on("error", tasks=f"shop.other_{number}")(lambda event: ran.append("other"))
        kit.on("error", tasks="*.fails", exceptions=KeyError)(lambda event: ran.append("key"))
        kit.on("error", tasks=fails)(lambda event: ran.append("mine"))
        for _ in range(3):
            fails()
            run_all(huey)
        assert (ran, len(asked)) == (["mine"] * 3, 22)
        kit.on("error", tasks="*.fails")(lambda event: ran.append("late"))
        fails()
        run_all(huey)
    assert ran[3:] == ["mine", "late"]


def test_tasks_of_equal_names_are_told_apart():
    """A filter that has a task function matches no other task of that name."""
    huey, ran = MemoryHuey("equal-names"), []
    first, second = (huey.task(name=name)(fail) for name in ("a", "b"))
    second.task_class.__name__ = first.task_class.__name__
    with install_handlers(huey, preset=[]) as kit:
        kit.on("error", tasks=first)(lambda event: ran.append(event.task))
        tasks = [task.s() for task in (first, second, first)]
        for task in tasks:
            huey.execute(task)
    assert ran == [tasks[0], tasks[2]]


def fail():
    """Fail."""
    raise ValueError("failed")


def test_a_real_error_makes_no_event_and_runs_no_handler_of_the_preset(monkeypatch):
    """It is only counted; a lock error is counted, and runs the three other handlers."""
    huey, called = MemoryHuey("real-errors"), []
    raised = iter([ValueError("failed"), TaskLockedException("unable to acquire lock a")])

    @huey.task()
    def ends():
        raise next(raised)

    original = handler.run
    monkeypatch.setattr(
        "huey_signals_kit.dispatch.receiver.run",
        lambda handlers, *rest: called.append(len(handlers)) or original(handlers, *rest),
    )
    with install_handlers(huey, preset="quiet-locks") as kit:
        for _ in range(2):
            ends()
            run_all(huey)
        counts = [kit.count("huey_signals_total", signal=each) for each in ("error", "locked")]
    assert (called, counts) == ([3], [1, 1])


def test_a_skip_is_announced_though_no_handler_needs_an_event():
    """With a preset that only counts."""
    huey, announced = MemoryHuey("announced"), []
    task = huey.task()(huey.lock_task("held")(lambda: 1))
    only_counts = Registry("only-counts")
    only_counts.add(count_signals)

    def on_skip(sender, event):
        announced.append((event.signal, event.lock))

    with install_handlers(huey, only_counts), lock_skipped.connected_to(on_skip, huey):
        task()
        with huey.lock_task("held"):
            run_all(huey)
    assert announced == [("locked", "held")]


def test_a_process_that_makes_classes_without_end_keeps_no_more_than_so_many(monkeypatch):
    """Each error still runs the handlers of its own class."""
    monkeypatch.setattr(receiver, "_MAX_KINDS", 3)
    huey, ran = MemoryHuey("classes-without-end"), []
    with install_handlers(huey, preset=[]) as kit:
        kit.on("error", tasks="*.even_*")(lambda event: ran.append(event.task_name[-1]))
        for number in range(8):
            name = f"{'odd' if number % 2 else 'even'}_{number}"
            huey.execute(huey.task(name=name)(fail).s())
            assert len(kit._receiver._routes) <= 3
    assert ran == ["0", "2", "4", "6"]


def test_a_signal_that_is_being_sent_while_the_kit_is_uninstalled_runs_no_handler():
    """Huey may be iterating over its receivers at that moment."""
    huey, ran = MemoryHuey("uninstalled"), []
    kit = install_handlers(huey)
    kit.on("error")(ran.append)
    (receive,) = huey._signal.receivers["error"]
    kit.uninstall()
    receive("error", huey.task()(fail).s(), ValueError("failed"))
    assert (ran, kit.count("huey_signals_total")) == ([], 0)


class Never(list):
    """A predicate that is false as an object, and that lets no event pass."""

    def __call__(self, event):
        return False


def test_a_predicate_is_asked_whatever_its_own_truth_is():
    """Also beside a filter of tasks."""
    huey, ran = MemoryHuey("predicates"), []
    task = huey.task()(fail)
    with install_handlers(huey, preset=[]) as kit:
        kit.on("error", tasks=task, when=Never())(ran.append)
        huey.execute(task.s())
    assert ran == []
