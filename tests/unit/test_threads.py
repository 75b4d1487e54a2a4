"""Nothing that the kit waits for can block its own thread: signal handlers, late gevent."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace

import pytest

from huey_signals_kit.runtime import threads
from huey_signals_kit.runtime.threads import RenewedLock, start_thread


def python(script):
    """What a Python of its own prints; one that blocks shows where and fails."""
    watched = "import faulthandler; faulthandler.dump_traceback_later(90, exit=True)\n"
    ran = subprocess.run(
        [sys.executable, "-c", watched + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=110,
        env={**os.environ, "PYTHONDEVMODE": ""},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split("\n")[:-1]


INTERRUPTED = """
    import logging, sys, threading
    logging.disable(logging.CRITICAL)
    from huey import MemoryHuey
    from huey_signals_kit import expire, install_handlers

    def work(huey):
        huey.locked(huey.counter)
        huey.execute(huey.dequeue())

    def prepared(number):
        huey = MemoryHuey(f"interrupted-{number}")
        huey.counter = 0
        kit = install_handlers(huey, quiet_logs=True, preset="observe")
        kit.on("enqueued", "locked", background=True)(lambda event: None)
        kit.on("locked")(lambda event: 1 / 0)
        kit.on("locked")(lambda event: expire(60))

        @huey.task()
        def locked(n):
            with huey.lock_task("lock " + "abcdefghijk"[n % 11] * 2):
                pass

        for n in range(11):
            huey.lock_task("lock " + "abcdefghijk"[n] * 2).acquire()
        huey.locked = locked
        return huey, kit

    class Interrupted(Exception):
        pass

    def interrupt_at(place, huey):
        # As a signal handler does: between two instructions of the kit, on the same thread.
        seen = 0

        def trace(frame, event, argument):
            nonlocal seen
            if "huey_signals_kit" not in frame.f_code.co_filename:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                seen += 1
                if seen == place:
                    huey.counter += 1
                    work(huey)
            return trace

        sys._getframe().f_trace_opcodes = True  # Python 3.12 wants it before settrace
        sys.settrace(trace)
        try:
            work(huey)
        finally:
            sys.settrace(None)
        return seen >= place

    place, step = 1, {step}
    while True:
        huey, kit = prepared(place)
        if not interrupt_at(place, huey):
            break
        for n in range(3):
            work(huey)
        assert kit.count("huey_lock_skips_total") == 5, place
        assert kit.count("huey_handler_errors_total") == 5, place
        kit.uninstall()
        place += step
    print("interrupted at", place > 1000)
    import os; sys.stdout.flush(); os._exit(0)
"""


def test_a_signal_handler_at_any_instruction_blocks_nothing(thorough):
    """It runs a locked task with the same handlers, while its thread does just that."""
    script = INTERRUPTED.replace("{step}", "7" if thorough else "29")
    assert python(script) == ["interrupted at True"]


LATE = """
    import logging, os, time
    logging.disable(logging.CRITICAL)
    from huey import MemoryHuey
    from huey_signals_kit import expire, install_handlers

    huey = MemoryHuey("late")
    kit = install_handlers(huey, sinks="memory", quiet_logs=True)
    got = []
    kit.on("locked", "complete", background=True)(lambda event: got.append(event.signal))
    kit.on("locked")(lambda event: expire(60))
    {before}

    from gevent import monkey
    monkey.patch_all()
    import gevent

    @huey.task()
    def work(number):
        gevent.sleep(.01)

    @huey.task()
    def locked(number):
        with huey.lock_task("held"):
            pass

    huey.lock_task("held").acquire()
    for number in range(10):
        work(number), locked(number)
    consumer = huey.create_consumer(worker_type="greenlet", workers=3, periodic=False)
    consumer.start()
    end = time.time() + 30
    while len(got) < 20 + {more} and time.time() < end:
        gevent.sleep(.02)
    print(len(huey), got.count("locked"), got.count("complete"))
    print(kit.count("huey_lock_skips_total"), len(kit.locks()))
    kit.uninstall()
    print(kit.installed, flush=True)
    os._exit(0)
"""

EARLIER_EVENT = """
    huey.task(name="early")(lambda: None)()
    huey.execute(huey.dequeue())
    while not got:
        time.sleep(.01)
"""


@pytest.mark.parametrize(
    ("before", "more"), [("", 0), (EARLIER_EVENT, 1)], ids=["unused before", "at work before"]
)
def test_gevent_may_patch_threads_after_the_kit_was_installed(before, more):
    """All tasks run, and every event is handled in the background."""
    pytest.importorskip("gevent")
    lines = python(LATE.format(before=textwrap.dedent(before).replace("\n", "\n    "), more=more))
    assert lines == ["0 10 " + str(10 + more), "10 1", "False"]


def test_a_greenlet_worker_goes_on_after_what_is_no_exception():
    """A handler's `gevent.Timeout` and `CancelledError` are its failures."""
    pytest.importorskip("gevent")
    script = """
        from gevent import monkey
        monkey.patch_all()
        import asyncio, gevent, logging, os, time
        logging.disable(logging.CRITICAL)
        from huey import MemoryHuey
        from huey_signals_kit import install_handlers
        huey = MemoryHuey("timeouts")
        kit = install_handlers(huey)

        @kit.on("executing", name="slow")
        def slow(event):
            with gevent.Timeout(.01):
                gevent.sleep(10)

        @kit.on("complete", name="cancelled")
        def cancelled(event):
            raise asyncio.CancelledError

        ran = []
        huey.task()(lambda number: ran.append(number)).map(range(5))
        consumer = huey.create_consumer(worker_type="greenlet", workers=1, periodic=False)
        consumer.start()
        end = time.time() + 30
        while kit.count("huey_handler_errors_total", handler="cancelled") < 5 and time.time() < end:
            gevent.sleep(.02)
        failed = [kit.count("huey_handler_errors_total", handler=n) for n in ("slow", "cancelled")]
        print(sorted(ran), failed, flush=True)
        os._exit(0)
    """
    assert python(script) == ["[0, 1, 2, 3, 4] [5, 5]"]


def test_a_thread_can_be_started_while_its_own_thread_starts_one():
    """`threading` holds a lock for that which is not reentrant."""
    done = threading.Event()
    with threading._active_limbo_lock:
        start_thread(threading.Thread(target=done.set, daemon=True))
    assert done.wait(10)


def test_a_thread_that_the_interpreter_refuses_to_start_works_all_the_same():
    """What it had to do is not lost where the process has begun to end meanwhile."""
    done = threading.Event()

    class Late(threading.Thread):
        def start(self):
            raise RuntimeError("can't create new thread at interpreter shutdown")

    start_thread(Late(target=done.set, daemon=True))
    assert done.wait(10)


def test_a_renewed_lock_excludes_other_threads_and_not_its_own():
    """As any reentrant lock."""
    lock, inside = RenewedLock(), []

    def other():
        with lock:
            inside.append("other")

    thread = threading.Thread(target=other)
    with lock, lock:
        thread.start()
        thread.join(0.1)
        inside.append("own")
    thread.join(10)
    assert inside == ["own", "other"]


def test_a_lock_from_before_a_patch_is_renewed(monkeypatch):
    """The one that is held is released, whatever takes its place meanwhile."""
    lock = RenewedLock()
    with lock:
        monkeypatch.setattr(threading, "Lock", lambda: None)
        with lock:
            held = list(lock._locks.values())
    assert len(held) == 2
    assert [each.acquire(blocking=False) for each in held] == [True, True]


def test_an_interrupt_of_a_thread_is_raised_there_without_gevent(monkeypatch):
    """And in the main greenlet, where it is already in the right place."""
    monkeypatch.setitem(sys.modules, "gevent", None)
    assert not threads.forward_interrupt(KeyboardInterrupt())
    main = object()
    gevent = SimpleNamespace(get_hub=lambda: SimpleNamespace(parent=main), getcurrent=lambda: main)
    monkeypatch.setitem(sys.modules, "gevent", gevent)
    assert not threads.forward_interrupt(KeyboardInterrupt())

    @threads.forwarding_interrupts
    def work():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
