"""One daemon thread per process, for all that no worker should wait for.

It starts with the first `Scheduler.start` in a process, so again in a forked child, and works with
gevent's patched threads as with real ones.
"""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.util
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .fork import reset_in_child
from .job import Job, LastRun, OnFailure
from .threads import start_thread

DRAIN_SECONDS = 5.0
"""How long a process that ends waits for the events queued for background handlers."""

END_SECONDS = 0.8
"""How long a process that ends waits for its jobs, and so for sinks and the storage.

A worker process waits for so long, then its consumer: less than two seconds together.
"""

ASK_SECONDS = 1.0
"""Seconds between two calls of a job's *when*."""


class Scheduler:
    """Runs each `Job` at its own interval, one after the other, on one daemon thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.jobs: tuple[Job, ...] = ()
        """What there is to do; without any, `start` need not be called."""
        self._on_exit: list[Callable[[], object]] = []
        self._at_exit = False
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._new_lock()
        self._finalizes = False
        self.thread: threading.Thread | None = None
        """The thread in this process, if it was started."""
        self.ending = False
        """Whether every job is being done for the last time."""

    def _new_lock(self) -> None:
        self._made_by = threading.Lock
        self._starting = False
        self._wake = threading.Condition(threading.RLock())

    def every(
        self,
        interval: float,
        do: Callable[[], object],
        name: str,
        failed: OnFailure | None = None,
        first: float | None = None,
        run_at_exit: bool = True,
        own_thread: bool = False,
        when: Callable[[], bool] | None = None,
    ) -> Job:
        """Run *do* every *interval* seconds, once `start` was called; see `Job`.

        Args:
            first: Seconds until the first run; one *interval* without it.
        """
        due = self._clock() + (interval if first is None else first)
        job = Job(name, interval, do, failed, due, run_at_exit, own_thread, when)
        if run_at_exit:
            self._hear_of_the_end()
        with self._wake:
            self.jobs = (*self.jobs, job)
            self._wake.notify_all()
        return job

    def cancel(self, job: Job) -> None:
        """Remove *job*; a run in progress is not interrupted."""
        with self._wake:
            self.jobs = tuple(each for each in self.jobs if each is not job)
            self._wake.notify_all()
        job.cancel()

    def start(self) -> None:
        """Have the thread in this process, if there is something to do; else nothing happens."""
        if self.thread is not None or not self.jobs:
            return
        if self._made_by is not threading.Lock:  # gevent has patched it since
            self._new_lock()
            for job in self.jobs:
                job.renew_locks()
        with self._wake:
            # A signal handler may call this function while it runs.
            if self.thread is None and self.jobs and not self._starting:
                self._starting = True
                self._hear_of_the_childs_end()
                thread = threading.Thread(target=self._loop, name="huey-signals-kit", daemon=True)
                with suppress(RuntimeError):  # no thread: the caller must not fail
                    start_thread(thread)
                    self.thread = thread
                self._starting = False

    def flush(self, jobs: tuple[Job, ...], seconds: float | None = None) -> None:
        """Run each of *jobs* for the last time, each on its own thread.

        A job that fails is tried again. A job that hangs delays neither the other jobs nor the
        end of the process.

        Args:
            jobs: The jobs; those without *at_end* are skipped.
            seconds: The time limit for all jobs together, by default `END_SECONDS`.
        """
        limit = END_SECONDS if seconds is None else seconds
        last_runs = [LastRun(job, limit) for job in jobs if job.run_at_exit]
        for each in last_runs:
            each.start()
        for each in last_runs:
            each.wait()

    def on_exit(self, do: Callable[[], object]) -> None:
        """Call *do* when the process ends, before the last run of every job."""
        if do not in self._on_exit:
            self._on_exit.append(do)
            self._hear_of_the_end()

    def _hear_of_the_end(self) -> None:
        if not self._at_exit:
            self._at_exit = True
            atexit.register(self.end)

    def _hear_of_the_childs_end(self) -> None:
        # Huey's scheduler runs no hook, and no child of multiprocessing has atexit.
        if multiprocessing.parent_process() is not None and not self._finalizes:
            self._finalizes = True
            multiprocessing.util.Finalize(None, self._end_at_last, exitpriority=0)

    def _end_at_last(self) -> None:
        if not self.ending:
            self.end()

    def end(self) -> None:
        """The process ends: by ``atexit``, or as a child that multiprocessing forked."""
        self.ending = True
        for do in self._on_exit:
            do()
        self.flush(self.jobs)

    def _loop(self) -> None:
        try:
            while self._wait():
                for job in self.jobs:
                    if self._is_due(job):
                        if not job.own_thread:
                            job.run()
                        elif job.start():
                            job.request()
                        job.due = self._clock() + job.interval
        finally:
            if self.thread is threading.current_thread():
                self.thread = None

    def _is_due(self, job: Job) -> bool:
        if job.own_thread and job.run_at_exit:
            job.start()  # early: Python 3.12 and later start no thread at exit
        now = self._clock()
        if job.due <= now:
            return True
        if job.when is None or job.ask_at > now:
            return False
        job.ask_at = now + ASK_SECONDS
        return job.is_wanted()

    def _wait(self) -> bool:
        """Wait until a job is due; return False, and clear `thread`, if there is no job."""
        with self._wake:
            while self.jobs:
                moments = (j.due if j.when is None else min(j.due, j.ask_at) for j in self.jobs)
                soonest = min(moments) - self._clock()
                if soonest <= 0:
                    return True
                self._wake.wait(soonest)
            self.thread = None
            return False


scheduler = Scheduler()
"""The tick of this process."""


class JobGroup:
    """The jobs of one kit."""

    def __init__(self, failed: OnFailure) -> None:
        self._failed = failed
        self._jobs: tuple[Job, ...] = ()

    def every(
        self,
        interval: float,
        do: Callable[[], object],
        name: str,
        first: float | None = None,
        run_at_exit: bool = True,
        own_thread: bool = False,
        when: Callable[[], bool] | None = None,
    ) -> None:
        """Run *do* every *interval* seconds; see `Scheduler.every`."""
        job = scheduler.every(
            interval, do, name, self._failed, first, run_at_exit, own_thread, when
        )
        self._jobs = (*self._jobs, job)

    def flush(self) -> None:
        """Run all of these jobs once more, within `END_SECONDS`."""
        scheduler.flush(self._jobs)

    def cancel(self) -> None:
        """No job is done any more."""
        jobs, self._jobs = self._jobs, ()
        for job in jobs:
            scheduler.cancel(job)

    def __bool__(self) -> bool:
        return bool(self._jobs)
