"""The memory for lock skips keeps within its bounds."""

from __future__ import annotations

import os
import sys
import threading

from huey_signals_kit.integrations.recent_skips import MAX_AGE, MAX_SKIPS, MAX_TASKS, Skips


def skip(second, task_id="id"):
    """A skip at this time."""
    return (float(second), "held", task_id, 1)


def test_only_the_newest_of_a_task_are_kept():
    """More than that are forgotten as new ones come."""
    skips = Skips(clock=lambda: 100.0)
    for second in range(MAX_SKIPS + 5):
        skips.remember("task", skip(second))
    assert skips.recent("task") == [skip(second) for second in range(5, MAX_SKIPS + 5)]


def test_an_old_one_is_forgotten():
    """One that is as old as can be is the last that is told."""
    skips = Skips(clock=lambda: 1000.0 + MAX_AGE)
    for second in (999, 1000, 1001):
        skips.remember("task", skip(second))
    assert skips.recent("task") == [skip(1000), skip(1001)]


def test_they_are_told_in_the_order_of_time():
    """Threads may come to remember theirs in another order."""
    skips = Skips(clock=lambda: 10.0)
    for second in (3, 1, 2):
        skips.remember("task", skip(second))
    assert skips.recent("task") == [skip(1), skip(2), skip(3)]


def test_an_unknown_task_has_none():
    """And asking for it remembers nothing."""
    assert Skips().recent("task") == []


def test_of_too_many_tasks_the_one_idle_longest_is_forgotten():
    """Not the one that came first, if it is still being skipped."""
    skips = Skips(clock=lambda: 10_000.0)
    for second in range(MAX_TASKS):
        skips.remember(f"task{second}", skip(9500 + second / 10))
    skips.remember("task0", skip(9999))
    skips.remember("new", skip(9999))
    assert skips.recent("task1") == []
    assert skips.recent("task0") == [skip(9500), skip(9999)]
    assert skips.recent("new") == [skip(9999)]


def test_a_forked_child_begins_with_none():
    """And can remember its own, even if another thread was at it when it was forked."""
    skips = Skips(clock=lambda: 10.0)
    skips.remember("task", skip(1))
    inside, leave = threading.Event(), threading.Event()

    def hold_the_lock():
        with skips._lock:
            inside.set()
            leave.wait()

    holder = threading.Thread(target=hold_the_lock)
    holder.start()
    inside.wait()
    pid = os.fork()
    if pid == 0:
        first = skips.recent("task")
        skips.remember("task", skip(2))
        os._exit(0 if (first, skips.recent("task")) == ([], [skip(2)]) else 1)
    leave.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert skips.recent("task") == [skip(1)]


def test_threads_may_remember_at_once():
    """Every one has its place, as long as there is room."""
    skips, interval = Skips(clock=lambda: 10.0), sys.getswitchinterval()

    def work(number):
        for second in range(MAX_SKIPS):
            skips.remember(f"task{number}", skip(second))
            skips.recent(f"task{(number + 1) % 4}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    expected = [skip(second) for second in range(MAX_SKIPS)]
    assert [skips.recent(f"task{number}") for number in range(4)] == [expected] * 4
