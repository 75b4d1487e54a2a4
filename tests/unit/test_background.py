"""Handlers in the background: a slow one holds nobody up, and what is lost is counted."""

from __future__ import annotations

import threading
import time

import pytest
from huey.signals import SIGNAL_LOCKED

from huey_signals_kit import DROP, Registry, install_handlers
from huey_signals_kit.handlers import RescheduleLocked
from huey_signals_kit.runtime import background as background_module
from huey_signals_kit.runtime.background import CAPACITY, Background
from tests.support import hold, run_all, stored_errors, wait_until


@pytest.fixture
def huey(make_huey):
    """A Huey with a held lock and a task that meets it."""
    huey = make_huey()

    @huey.task()
    @huey.lock_task("held")
    def guarded(n=0):
        """Never runs."""

    hold(huey, "held")
    huey.guarded = guarded
    return huey


def skip(huey, times=1):
    for n in range(times):
        huey.guarded(n)
    run_all(huey)


def test_it_runs_on_a_thread_of_its_own(huey):
    """The worker's thread goes on; the handler sees the whole event."""
    kit = install_handlers(huey)
    seen = []

    @kit.on(SIGNAL_LOCKED, background=True)
    def slow(event):
        seen.append((threading.current_thread(), event.lock, event.task_name, event.duration))

    skip(huey)
    wait_until(lambda: seen, 10, "the handler")
    (thread, lock, task, duration) = seen[0]
    assert thread is not threading.current_thread()
    assert thread.daemon
    assert (lock, task) == ("held", f"{__name__}.guarded")
    assert duration >= 0


def test_it_holds_no_worker_up(huey):
    """The worker is done while the handler has not even finished its first event."""
    kit = install_handlers(huey)
    release, handled = threading.Event(), []

    @kit.on(SIGNAL_LOCKED, background=True)
    def slow(event):
        release.wait(30)
        handled.append(event.task.args[0])

    skip(huey, 50)
    assert handled == []
    release.set()
    wait_until(lambda: len(handled) == 50, 10, "all events")
    assert handled == list(range(50))


def test_when_it_is_full_the_oldest_goes_and_is_counted(huey):
    """A bounded queue keeps the newest events."""
    kit = install_handlers(huey)
    release, handled = threading.Event(), []

    @kit.on(SIGNAL_LOCKED, background=True, name="slow")
    def slow(event):
        handled.append(event.task.args[0])
        release.wait(30)

    skip(huey)
    wait_until(lambda: handled, 10, "the handler to be busy")
    for n in range(1, CAPACITY + 6):
        huey.guarded(n)
    run_all(huey)
    release.set()
    wait_until(lambda: len(handled) == CAPACITY + 1, 30, "the rest")
    assert handled == [0, *range(6, CAPACITY + 6)]
    assert kit.count("huey_events_dropped_total", handler="slow") == 5


def test_what_it_raises_is_logged_and_counted_and_the_next_event_comes(huey, caplog):
    """A failure in the background is treated like any other."""
    kit = install_handlers(huey)
    seen = []

    @kit.on(SIGNAL_LOCKED, background=True, name="broken")
    def broken(event):
        seen.append(event)
        raise ValueError("in the background")

    skip(huey, 2)
    wait_until(lambda: len(seen) == 2, 10, "both events")
    wait_until(lambda: kit.count("huey_handler_errors_total", handler="broken") == 2, 10, "counts")
    assert "Handler broken failed" in caplog.text


def test_it_decides_nothing(huey, caplog):
    """A verdict comes too late, and its author is told."""
    kit = install_handlers(huey, preset=[])

    @kit.on(SIGNAL_LOCKED, background=True)
    def late(event):
        return DROP

    skip(huey)
    wait_until(lambda: kit.count("huey_handler_errors_total") == 1, 10, "the refusal")
    assert len(stored_errors(huey)) == 1
    assert "runs in the background, after Huey has stored the error" in caplog.text


def test_its_filters_are_asked_before_it_is_queued(huey):
    """What a handler does not want takes no room in its queue."""
    kit = install_handlers(huey)
    seen = []
    kit.on(SIGNAL_LOCKED, background=True, when=lambda event: event.task.args[0] % 2)(seen.append)
    skip(huey, 4)
    wait_until(lambda: len(seen) == 2, 10, "the odd ones")
    assert [event.task.args[0] for event in seen] == [1, 3]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_its_thread_starts_again_after_it_was_ended(huey):
    """``SystemExit`` ends a thread; the next event has another."""
    kit = install_handlers(huey)
    seen = []

    @kit.on(SIGNAL_LOCKED, background=True)
    def leaves(event):
        seen.append(event)
        raise SystemExit

    skip(huey)
    wait_until(lambda: len(seen) == 1, 10, "the first event")
    (handler,) = [each for each in kit.handlers if each.function is leaves]
    wait_until(lambda: handler.background._thread is None, 10, "the thread to end")
    skip(huey)
    wait_until(lambda: len(seen) == 2, 10, "the second event")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_waits_is_handled_though_the_thread_was_ended():
    """Without another item to start the next thread."""
    handled, release = [], threading.Event()

    def leaves(item):
        release.wait(10)
        handled.append(item)
        raise SystemExit

    background = Background("leaves", leaves, lambda lost: pytest.fail(str(lost)))
    for n in range(3):
        background.submit(n)
    release.set()
    wait_until(lambda: handled == [0, 1, 2], 10, "all items")


def test_draining_handles_up_to_the_deadline_and_counts_the_rest():
    """Nothing is handled after the deadline, and nothing is lost in silence."""
    handled, lost, busy = [], [], threading.Event()

    def handle(item):
        busy.set()
        time.sleep(0.05)
        handled.append(item)

    background = Background("slow", handle, lost.extend)
    for n in range(100):
        background.submit(n)
    busy.wait(10)
    background.flush(time.monotonic() + 0.5)
    in_time = list(handled)
    assert 1 <= len(in_time) < 20
    assert lost == list(range(len(in_time), 100))
    background.submit("later")
    wait_until(lambda: "later" in handled, 10, "an item that comes after the deadline")
    # What was in hand at the deadline may still end well.
    assert len(handled) <= len(in_time) + 2


def test_draining_an_idle_one_takes_no_time():
    """All that was queued is handled: there is nothing to wait for."""
    handled = []
    background = Background("quick", handled.append, lambda lost: pytest.fail(str(lost)))
    background.submit(1)
    background.flush(time.monotonic() + 30)
    assert handled == [1]


def test_a_registry_runs_it_in_the_background_without_a_kit(huey):
    """``dispatch`` by hand behaves as in a kit."""
    registry = Registry()
    seen = threading.Event()
    registry.on(SIGNAL_LOCKED, background=True)(lambda event: seen.set())
    kit = install_handlers(huey, preset=registry)
    kit.on(SIGNAL_LOCKED)(registry.dispatch)
    skip(huey)
    assert seen.wait(10)


def test_a_handler_says_that_it_runs_in_the_background():
    """Its repr shows how it was registered, and it is not the same as one in the foreground."""
    registry = Registry()

    def tell(event):
        """Nothing."""

    registry.add(tell, SIGNAL_LOCKED, name="tell")
    registry.add(tell, SIGNAL_LOCKED, name="tell", background=True)
    assert repr(registry) == "<Registry: <tell on locked>, <tell on locked background=True>>"


def test_its_thread_ends_when_there_is_nothing_to_do(monkeypatch):
    """A kit that was uninstalled leaves no thread for ever."""
    monkeypatch.setattr(background_module, "IDLE_SECONDS", 0.05)
    handled = []
    background = Background("idle", handled.append, lambda lost: pytest.fail(str(lost)))
    background.submit(1)
    wait_until(lambda: background._thread is None, 10, "the thread to end")
    background.submit(2)
    wait_until(lambda: handled == [1, 2], 10, "the next one")


def test_what_decides_about_the_store_cannot_run_there():
    """By the time it is asked, it is decided."""
    with pytest.raises(TypeError, match="cannot run with background=True"):
        Registry().add(RescheduleLocked(), SIGNAL_LOCKED, background=True)
