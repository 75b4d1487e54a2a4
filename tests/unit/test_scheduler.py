"""The scheduler: one thread a process, jobs at their own intervals, again after a fork."""

from __future__ import annotations

import itertools
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter

import pytest

from huey_signals_kit import install_handlers
from huey_signals_kit.runtime import scheduler as scheduler_module
from huey_signals_kit.runtime.job import RETRY_PAUSES
from huey_signals_kit.runtime.scheduler import Scheduler
from tests.support import HAS_ENQUEUED, run_all, wait_until


@pytest.fixture
def scheduler():
    """A tick of the test's own, with no job left afterwards."""
    own = Scheduler()
    yield own
    for job in own.jobs:
        own.cancel(job)


def python(script):
    """What a Python of its own prints, a line each."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split("\n")[:-1]


def test_each_job_runs_at_its_own_interval(scheduler):
    """A slow neighbour's interval does not slow a job down."""
    done = []
    scheduler.every(0.01, lambda: done.append("often"), "often")
    scheduler.every(3600, lambda: done.append("seldom"), "seldom")
    scheduler.start()
    wait_until(lambda: done.count("often") >= 3, 10, "three runs")
    assert "seldom" not in done


def test_the_first_run_may_come_sooner(scheduler):
    """A job may be due at once, though it then has time."""
    done = threading.Event()
    scheduler.every(3600, done.set, "soon", first=0)
    scheduler.start()
    assert done.wait(10)


def test_a_job_that_comes_later_is_not_kept_waiting(scheduler):
    """The thread may be asleep for an hour when a job with a shorter interval comes."""
    scheduler.every(3600, lambda: None, "seldom")
    scheduler.start()
    wait_until(lambda: scheduler._wake._waiters, 10, "the thread to be asleep")
    done = threading.Event()
    scheduler.every(0.01, done.set, "often")
    assert done.wait(10)


def test_a_job_that_raises_is_logged_once_and_runs_again(scheduler, caplog):
    """One that always fails neither ends the thread nor fills the log."""
    runs = []

    def broken():
        runs.append(1)
        raise ValueError("in the job")

    with caplog.at_level(logging.ERROR, "huey_signals_kit"):
        scheduler.every(0.01, broken, "broken")
        scheduler.start()
        wait_until(lambda: len(runs) >= 3, 10, "three runs")
    (record,) = caplog.records
    assert "The job broken failed" in record.getMessage()


def test_there_is_no_thread_without_a_job(scheduler):
    """Nobody pays for what they do not use."""
    scheduler.start()
    assert scheduler.thread is None


def test_the_thread_ends_with_the_last_job_and_starts_again(scheduler):
    """Cancelling leaves nothing running, and is no end for ever."""
    job = scheduler.every(3600, lambda: None, "seldom")
    scheduler.start()
    thread = scheduler.thread
    wait_until(thread.is_alive, 10, "the thread")
    scheduler.cancel(job)
    thread.join(10)
    assert not thread.is_alive()
    done = threading.Event()
    scheduler.every(0.01, done.set, "often")
    scheduler.start()
    assert done.wait(10)


def test_draining_repeats_what_fails_until_it_is_done(scheduler):
    """What fails twice is not lost at the end."""
    outcomes = [ValueError("first"), ValueError("second"), None]
    left = list(outcomes)

    def flaky():
        outcome = left.pop(0)
        if outcome:
            raise outcome

    job = scheduler.every(3600, flaky, "flaky")
    scheduler.flush((job,))
    assert left == []


def test_a_last_run_is_tried_three_times_with_growing_pauses_and_reported_once(scheduler):
    """A server that is down costs no more, and each failure counts once."""
    tries, reported = [], []

    def down():
        tries.append(time.monotonic())
        raise ConnectionError("down")

    def failed(name, exc, last=False):
        reported.append((name, str(exc), last))

    scheduler.flush((scheduler.every(3600, down, "down", failed),), seconds=30)
    pauses = [later - sooner for sooner, later in itertools.pairwise(tries)]
    assert len(pauses) == 2
    assert pauses[0] >= RETRY_PAUSES[0]
    assert pauses[1] >= RETRY_PAUSES[1] > RETRY_PAUSES[0]
    assert reported == [("down", "down", True)]


def test_what_hangs_at_the_end_is_reported_once(scheduler):
    """Whoever waits for the process learns what kept it."""
    reported, release = [], threading.Event()

    def failed(name, exc, last=False):
        reported.append((name, type(exc), last))

    job = scheduler.every(3600, lambda: release.wait(60), "hangs", failed)
    scheduler.flush((job,), seconds=0.2)
    assert reported == [("hangs", TimeoutError, True)]
    release.set()


def test_a_signal_handler_that_starts_the_thread_again_does_not_hang(scheduler):
    """It can interrupt the very thread that is starting it."""
    started = []
    scheduler.every(3600, lambda: None, "seldom")
    real = scheduler_module.start_thread

    def start(thread):
        started.append(thread.name)
        scheduler.start()  # as from a signal handler
        real(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler_module, "start_thread", start)
        scheduler.start()
    assert started == ["huey-signals-kit"]
    wait_until(scheduler.thread.is_alive, 10, "the thread")


def test_no_job_on_its_own_thread_holds_another_up(scheduler):
    """Not even one that waits for ever."""
    release, done = threading.Event(), []
    scheduler.every(0.01, lambda: release.wait(60), "hangs", first=0, own_thread=True)
    scheduler.every(0.01, lambda: done.append(1), "often", own_thread=True)
    scheduler.every(0.01, lambda: done.append(2), "often as well")
    scheduler.start()
    wait_until(lambda: {*done} == {1, 2} and len(done) > 5, 10, "the others")
    release.set()


def test_a_job_that_is_wanted_does_not_wait_for_its_interval(scheduler, monkeypatch):
    """But it is not asked all the time."""
    monkeypatch.setattr(scheduler_module, "ASK_SECONDS", 0.05)
    wanted, done, asked = [], threading.Event(), []

    def when():
        asked.append(time.monotonic())
        return bool(wanted)

    scheduler.every(3600, done.set, "wanted", when=when)
    scheduler.every(0.001, lambda: None, "often")
    scheduler.start()
    wait_until(lambda: len(asked) >= 3, 10, "three questions")
    assert not done.is_set()
    wanted.append(1)
    assert done.wait(10)
    assert all(b - a >= 0.049 for a, b in itertools.pairwise(asked))


def test_a_process_ends_where_no_thread_can_be_started_at_exit():
    """As in Python 3.12, with a sink that hangs."""
    lines = python(
        """
        import atexit, threading
        from huey import MemoryHuey
        from huey_signals_kit import install_handlers
        from huey_signals_kit.runtime import scheduler as scheduler_module
        class Hangs:
            name, interval = "hangs", 3600
            def send(self, changes):
                print("asked\\n", end="", flush=True)
                threading.Event().wait()
        class Takes:
            name, interval = "takes", 3600
            def send(self, changes):
                took = sum(each.labels.get("signal") == "complete" for each in changes)
                print(f"took {took}\\n", end="")
        def no_thread(thread):
            raise RuntimeError("can't create new thread at interpreter shutdown")
        huey = MemoryHuey("x")
        atexit.register(lambda: print("ended"))
        kit = install_handlers(huey, sinks=[Hangs(), Takes()])
        atexit.register(lambda: setattr(threading.Thread, "start", no_thread))
        @huey.task()
        def add(): return 1
        add()
        huey.execute(huey.dequeue())
        started = lambda: [t for t in threading.enumerate() if t.name == "huey-signals-kit-job"]
        while len(started()) < 2:
            threading.Event().wait(0.01)
        """
    )
    assert sorted(set(lines)) == ["asked", "ended", "took 1"]


def test_draining_does_not_wait_for_what_hangs(scheduler):
    """A process ends in time, whatever a sink does."""
    release = threading.Event()
    job = scheduler.every(3600, lambda: release.wait(60), "hangs")
    began = time.monotonic()
    scheduler.flush((job,), seconds=0.2)
    waited = time.monotonic() - began
    release.set()
    assert 0.2 <= waited < 30


def test_a_job_is_not_done_by_two_threads_at_once(scheduler):
    """Draining waits for a run that is under way, and then does one of its own."""
    inside, release, most = [], threading.Event(), []

    def slow():
        inside.append(1)
        most.append(len(inside))
        release.wait(10)
        inside.pop()

    job = scheduler.every(0.01, slow, "slow")
    scheduler.start()
    wait_until(lambda: inside, 10, "the first run")
    threading.Timer(0.1, release.set).start()
    scheduler.flush((job,))
    assert len(most) >= 2
    assert set(most) == {1}


def test_a_child_forked_while_the_tick_holds_its_lock_has_a_tick_of_its_own():
    """Neither the lock nor the parent's thread goes along."""
    lines = python(
        """
        import os, threading, time
        from huey_signals_kit.runtime.scheduler import scheduler
        parents, done = [], threading.Event()
        def work():
            parents.append(os.getpid())
            done.set()
        scheduler.every(0.01, work, "work")
        scheduler.start()
        assert done.wait(10)
        held, release = threading.Event(), threading.Event()
        def hold():
            with scheduler._wake:
                held.set()
                release.wait(30)
        threading.Thread(target=hold, daemon=True).start()
        held.wait(10)
        pid = os.fork()
        if pid == 0:
            assert scheduler.thread is None
            done.clear()
            parents.clear()
            scheduler.start()
            print(done.wait(10) and set(parents) == {os.getpid()}, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        release.set()
        done.clear()
        print(done.wait(10), flush=True)
        """
    )
    assert lines == ["True", "True"]


def test_a_child_forked_while_a_job_is_running_can_run_it():
    """The parent's thread, which would give the job free again, is not there."""
    lines = python(
        """
        import os, threading
        from huey_signals_kit.runtime.scheduler import scheduler
        inside, release = threading.Event(), threading.Event()
        def work():
            inside.set()
            release.wait(30)
        job = scheduler.every(0.01, work, "work")
        scheduler.start()
        inside.wait(10)
        pid = os.fork()
        if pid == 0:
            release.set()
            print(job.run(timeout=5), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        release.set()
        """
    )
    assert lines == ["True"]


def test_a_child_is_not_forked_while_a_job_holds_a_lock_of_the_storage():
    """A preloading gunicorn forks at any moment; its worker would wait for that lock forever."""
    lines = python(
        """
        import os, threading, time
        from huey_signals_kit.runtime import scheduler as module
        module.FORK_SECONDS = 60
        lock, inside, forking = threading.Lock(), threading.Event(), threading.Event()
        os.register_at_fork(before=forking.set)  # the last one registered is called first
        def work():
            with lock:
                inside.set()
                forking.wait(10)
                time.sleep(0.1)
        module.scheduler.every(0.01, work, "work", own_thread=True)
        module.scheduler.start()
        for _ in range(3):
            inside.clear()
            forking.clear()
            inside.wait(10)
            pid = os.fork()
            if pid == 0:
                print(lock.acquire(timeout=5), flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
        """
    )
    assert lines == ["True"] * 3


def test_a_job_may_fork():
    """A fork does not wait for the job that forks."""
    lines = python(
        """
        import os, threading
        from huey_signals_kit.runtime import scheduler as module
        module.FORK_SECONDS = 3600
        done = threading.Event()
        def work():
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            done.set()
        module.scheduler.every(0.01, work, "work", own_thread=True)
        module.scheduler.start()
        print(done.wait(10))
        done.clear()
        print(done.wait(10))
        """
    )
    assert lines == ["True", "True"]


def test_what_is_to_come_before_the_end_comes_before_the_last_jobs():
    """A background handler may count something, which a sink is still to have."""
    lines = python(
        """
        from huey_signals_kit.runtime.scheduler import scheduler
        scheduler.every(3600, lambda: print("job"), "job")
        scheduler.on_exit(lambda: print("before"))
        """
    )
    assert lines == ["before", "job"]


def test_an_interrupt_at_the_end_comes_after_the_last_jobs(scheduler, monkeypatch):
    """As when Huey 3.4 interrupts a worker that is ending already."""
    ran = []
    slow = threading.Event()

    def interrupt():
        raise KeyboardInterrupt

    def run_slowly():
        slow.wait(0.2)
        signal.raise_signal(signal.SIGINT)
        ran.append("slow")

    monkeypatch.setattr(scheduler, "_exit_callbacks", [interrupt])
    scheduler.every(1000, run_slowly, "slow")
    scheduler.every(1000, lambda: ran.append("quick"), "quick")
    with pytest.raises(KeyboardInterrupt):
        scheduler.end()
    assert sorted(ran) == ["quick", "slow"]


def test_sinks_are_right_in_parent_and_child_forked_while_the_locks_are_held():
    """Each process sends what it has counted, no more, though the fork came at a bad time."""
    lines = python(
        """
        import os, threading
        from huey import MemoryHuey
        from huey_signals_kit import install_handlers
        from huey_signals_kit.runtime import scheduler as scheduler_module
        from huey_signals_kit.runtime.scheduler import scheduler
        class Sink:
            interval = 3600
            def send(self, changes):
                for each in changes:
                    if each.labels.get("signal") == "complete":
                        print(name, each.value, flush=True)
        name = "parent"
        huey = MemoryHuey("x")
        kit = install_handlers(huey, sinks=[Sink()])
        @huey.task()
        def add(): return 1
        def work(times):
            for _ in range(times):
                huey.execute(add.s())
        work(3)
        kit.flush()
        work(2)
        held, release = threading.Event(), threading.Event()
        def hold():
            with scheduler._wake, kit._counter._lock:
                held.set()
                release.wait(30)
        threading.Thread(target=hold, daemon=True).start()
        held.wait(10)
        pid = os.fork()
        if pid == 0:
            name = "child"
            work(2)
            for hook in huey._shutdown.values():
                hook()
            scheduler.end()
            os._exit(0)
        os.waitpid(pid, 0)
        release.set()
        work(1)
        """
    )
    sent = Counter()
    for line in lines:  # the parent may send part of its counts early, on a busy machine
        name, value = line.split()
        sent[name] += int(value)
    assert sent == {"parent": 6, "child": 2}


def test_the_end_of_the_process_sends_what_is_left():
    """A script that ends before the first interval has not counted in vain."""
    lines = python(
        """
        from huey import MemoryHuey
        from huey_signals_kit import install_handlers
        from huey_signals_kit.runtime import scheduler as scheduler_module
        class Sink:
            def send(self, changes):
                print(*sorted(each.labels["signal"] for each in changes if "signal" in each.labels))
        huey = MemoryHuey("x")
        install_handlers(huey, sinks=Sink())
        @huey.task()
        def add(): return 1
        add()
        huey.execute(huey.dequeue())
        """
    )
    assert lines == ["complete enqueued executing" if HAS_ENQUEUED else "complete executing"]


def test_a_kit_without_jobs_starts_no_thread(make_huey):
    """Counting what the preset looks at needs no tick."""
    before = set(threading.enumerate())
    huey = make_huey()
    install_handlers(huey, "observe")
    huey.task()(lambda: 1)()
    run_all(huey)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("own_thread", [False, True])
def test_ctrl_c_during_a_job_reaches_the_main_greenlet(own_thread):
    """Under gevent a signal handler runs in whichever greenlet is running."""
    pytest.importorskip("gevent")
    lines = python(
        f"""
        from gevent import monkey
        monkey.patch_all()
        import os, signal, time
        from huey_signals_kit.runtime.scheduler import scheduler
        signal.signal(signal.SIGINT, signal.default_int_handler)
        runs = []
        def job():
            runs.append(1)
            if len(runs) == 1:
                os.kill(os.getpid(), signal.SIGINT)
        scheduler.every(0.01, job, "job", own_thread={own_thread})
        scheduler.start()
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            print("interrupted")
        while len(runs) < 3:
            time.sleep(0.01)
        print("the job goes on")
        """
    )
    assert lines == ["interrupted", "the job goes on"]


def test_ctrl_c_during_a_background_handler_reaches_the_main_greenlet():
    """The next event is handled by a new thread."""
    pytest.importorskip("gevent")
    lines = python(
        """
        from gevent import monkey
        monkey.patch_all()
        import os, signal, time
        from huey import MemoryHuey
        from huey_signals_kit import install_handlers
        signal.signal(signal.SIGINT, signal.default_int_handler)
        huey = MemoryHuey("x", immediate=True)
        kit = install_handlers(huey)
        handled = []
        @kit.on("complete", background=True)
        def handle(event):
            handled.append(1)
            if len(handled) == 1:
                os.kill(os.getpid(), signal.SIGINT)
        job = huey.task()(lambda: None)
        job()
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            print("interrupted")
        job()
        while len(handled) < 2:
            time.sleep(0.01)
        print("the next event is handled")
        """
    )
    assert lines == ["interrupted", "the next event is handled"]
