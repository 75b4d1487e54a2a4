"""The meter: with sinks, every signal is counted once and every attempt that worked is timed."""

from __future__ import annotations

import threading
import time

import pytest
from huey import crontab
from huey.exceptions import CancelExecution, RetryTask, TaskLockedException
from huey.signals import SIGNAL_COMPLETE

from huey_signals_kit import Registry, install_handlers
from huey_signals_kit.handlers import count_signals
from huey_signals_kit.metrics.attempts import _drain, _histogram
from huey_signals_kit.metrics.counter import AGGREGATE_AT
from huey_signals_kit.metrics.meter import Meter
from tests.support import hold, run_all

SIGNALS = "huey_signals_total"
SECONDS = "huey_task_duration_seconds"


@pytest.fixture(params=["quiet-locks", "observe", "tidy-tokens", "none"])
def metered(request, make_huey):
    """A Huey with a kit that counts, under each preset, and what Huey really emitted."""
    huey = make_huey()
    emitted = []
    huey.signal()(lambda signal, task, *_: emitted.append((task.name, signal)))
    preset = [] if request.param == "none" else request.param
    return huey, install_handlers(huey, preset, sinks="memory"), emitted


def counted(kit):
    """{(task, signal): total}, tasks without their module."""
    return {
        (key[2].rpartition(".")[2], key[3]): value
        for key, value in kit._counter.totals().items()
        if key[0] == SIGNALS
    }


def tally(emitted):
    return {each: emitted.count(each) for each in set(emitted)}


def test_every_signal_is_counted_as_often_as_huey_emits_it(metered):
    """Whatever happens to a task, and whether the preset counts some of it or not."""
    huey, kit, emitted = metered

    @huey.task()
    def works():
        return 1

    @huey.task()
    def works_without_a_result():
        """Returns None, so Huey stores nothing."""

    @huey.task(retries=1)
    def fails():
        raise ValueError("broken")

    @huey.task()
    @huey.lock_task("held")
    def locked():
        """Never runs."""

    @huey.task()
    def wrapped():
        try:
            with huey.lock_task("held"):
                """Never comes here."""
        except TaskLockedException as error:
            raise ValueError("busy") from error

    again = []

    @huey.task()
    def asks_again():
        if not again:
            again.append(1)
            raise RetryTask

    @huey.task()
    def cancels():
        raise CancelExecution(retry=False)

    @huey.task()
    def revoked():
        """Never runs."""

    @huey.periodic_task(crontab())
    def periodic():
        """Stores nothing."""

    hold(huey, "held")
    calls = (works, works_without_a_result, fails, locked, wrapped, asks_again, cancels, periodic)
    for call in calls:
        call()
    revoked().revoke()
    works.s().then(works_without_a_result)
    works.schedule(delay=60)
    run_all(huey)
    assert counted(kit) == tally(emitted)
    assert {signal for _, signal in emitted} >= {
        "canceled", "complete", "error", "executing", "locked", "retrying", "revoked", "scheduled",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "timed"),
    [
        (None, 1),
        (ValueError("broken"), 1),
        (RetryTask(delay=60), 1),
        (CancelExecution(retry=False), 0),
        (TaskLockedException("unable to acquire lock x"), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_attempts_that_worked_are_timed(make_huey, outcome, timed):
    """One that was locked or canceled says nothing about how long a task takes."""
    huey = make_huey()
    kit = install_handlers(huey, sinks="memory")

    @huey.task(name="work")
    def work():
        time.sleep(0.02)
        if outcome is not None:
            raise outcome

    work()
    run_all(huey)
    assert kit.count(SECONDS) == timed
    if timed:
        (found,) = [v for k, v in kit._counter.totals().items() if k[0] == SECONDS]
        assert 0.02 <= found.seconds < 5
        assert sum(found.buckets[1:]) == 1


def test_a_task_that_runs_again_from_inside_its_first_attempt_is_counted_right(make_huey):
    """In immediate mode Huey runs a retry, the same task object, within the attempt before."""
    huey = make_huey(immediate=True)
    emitted = []
    huey.signal()(lambda signal, task, *_: emitted.append((task.name, signal)))
    kit = install_handlers(huey, sinks="memory")
    left = [ValueError("first"), ValueError("second")]

    @huey.task(retries=2)
    def flaky():
        if left:
            raise left.pop()
        return 1

    flaky()
    assert counted(kit) == tally(emitted)
    assert counted(kit)["flaky", "complete"] == 1
    assert kit.count(SECONDS) == 3


def test_a_locked_attempt_that_is_retried_is_not_timed(make_huey):
    """The retry that is signaled afterwards does not make work of it."""
    huey = make_huey()
    kit = install_handlers(huey, sinks="memory")
    huey.task(retries=2)(huey.lock_task("held")(lambda: 1))()
    hold(huey, "held")
    run_all(huey)
    assert kit.count(SIGNALS, signal="retrying") == 2
    assert kit.count(SECONDS) == 0


def test_what_comes_while_lists_are_added_up_stays_for_the_next_time():
    """An attempt that another thread leaves at that moment is not lost."""

    class Busy(list):
        def __getitem__(self, place):
            found = super().__getitem__(place)
            self.append("late")
            return found

    items = Busy(["one", "two"])
    assert _drain(items) == ["one", "two"]
    assert list(items) == ["late"]


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.005, 0), (0.0051, 1), (1800.0, 12), (1800.1, 13)]
)
def test_a_bucket_holds_what_is_up_to_its_bound(seconds, bucket):
    """As Prometheus' ``le`` says it: less or equal."""
    assert _histogram([seconds]).buckets.index(1) == bucket


def test_threads_lose_no_attempt(make_huey):
    """Four workers, and a reader all the while: the totals are exact."""
    huey = make_huey()
    kit = install_handlers(huey, sinks="memory")
    work = huey.task()(lambda n: n)
    each = 2 * AGGREGATE_AT + 7

    def worker():
        for n in range(each):
            huey.execute(work.s(n))

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        kit.count(SECONDS)
    assert kit.count(SECONDS) == 4 * each
    assert kit.count(SIGNALS, signal="complete") == 4 * each
    assert kit.count(SIGNALS, signal="executing") == 4 * each


def test_a_storage_that_fails_is_no_completed_attempt(make_huey):
    """What Huey could not finish it has not signaled, and the kit has not counted."""
    huey = make_huey()
    kit = install_handlers(huey, sinks="memory")
    work = huey.task()(lambda: 1)

    def broken(*args, **options):
        raise OSError("the storage is gone")

    huey.storage.put_data = broken
    for _ in range(3):
        with pytest.raises(OSError, match="the storage is gone"):
            huey.execute(work.s())
    assert kit.count(SIGNALS, signal="complete") == 0
    assert kit.count(SIGNALS, signal="executing") == 3
    (meter,) = [part for part in kit._components if isinstance(part, Meter)]
    assert meter._attempts_ended == {}


def test_a_handler_that_counts_leaves_the_meter_the_rest(make_huey):
    """A preset of one's own may count some signals by itself, and no signal counts twice."""
    huey = make_huey()
    own = Registry("own")
    own.add(count_signals, "locked", "executing")
    kit = install_handlers(huey, own, sinks="memory")
    huey.task()(lambda: 1)()
    huey.task(name="guarded")(huey.lock_task("held")(lambda: 1))()
    hold(huey, "held")
    run_all(huey)
    found = {signal: kit.count(SIGNALS, signal=signal) for signal in ("executing", "locked")}
    assert found == {"executing": 2, "locked": 1}


@pytest.mark.parametrize("sinks", ["memory", None])
def test_what_is_registered_to_count_twice_counts_once(make_huey, sinks):
    """For every signal, for one task only, or beside a preset that counts."""
    huey = make_huey()
    own = Registry("own")
    own.add(count_signals)
    own.add(count_signals, "error", tasks="*.fails")
    kit = install_handlers(huey, ["quiet-locks", own], sinks=sinks)
    emitted = []
    huey.signal()(lambda signal, task, *_: emitted.append((task.name, signal)))

    @huey.task()
    def fails():
        raise ValueError("broken")

    fails()
    huey.task(name="guarded")(huey.lock_task("held")(lambda: 1))()
    hold(huey, "held")
    run_all(huey)
    assert counted(kit) == tally(emitted)


def test_without_sinks_nothing_stands_around_a_task(make_huey):
    """Nobody pays for a histogram that nobody reads."""
    huey = make_huey()
    kit = install_handlers(huey)
    huey.task()(lambda: 1)()
    run_all(huey)
    assert "_execute" not in vars(huey)
    assert SIGNAL_COMPLETE not in huey._signal.receivers
    assert kit.count(SECONDS) == 0


def test_a_class_that_is_patched_later_is_heeded(make_huey, monkeypatch):
    """As Sentry's integration does it, whenever it is set up."""
    huey = make_huey()
    install_handlers(huey, sinks="memory")
    seen = []
    inner = type(huey)._execute

    def patched(self, task, timestamp=None):
        seen.append(task)
        return inner(self, task, timestamp)

    monkeypatch.setattr(type(huey), "_execute", patched)
    huey.task()(lambda: 1)()
    run_all(huey)
    assert len(seen) == 1


def test_a_wrapper_put_around_since_stays_and_counts_nothing_after_the_uninstall(make_huey):
    """Uninstalling takes out the kit's own, and no more."""
    huey = make_huey()
    kit = install_handlers(huey, sinks="memory")
    inner, seen = huey._execute, []

    def wrapper(task, timestamp=None):
        seen.append(task)
        return inner(task, timestamp)

    huey._execute = wrapper
    kit.uninstall()
    huey.task()(lambda: 1)()
    run_all(huey)
    assert huey._execute is wrapper
    assert len(seen) == 1
    assert kit.count(SIGNALS) == 0
    assert kit.count(SECONDS) == 0
