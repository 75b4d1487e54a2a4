"""The scheduler: one daemon thread per process for all work that no worker should wait for.

It flushes sinks, writes heartbeats and runs upkeep. A job that may wait for a server or a disk has
a thread of its own (`own_thread`), and the scheduler only decides when that job runs. The scheduler
starts with the first `Scheduler.start` in a process, so again in a forked child, and works with
gevent's patched threads as with native ones.

The end of a process is the hard part, because what a job has not written by that time is lost, and
no single hook runs in every process:

- ``atexit`` runs in the application and in a consumer with threads or greenlets, but not in a
  process that `multiprocessing` forked (``-k process``): that process ends by ``os._exit``.
- Huey's shutdown hook runs in such a worker, but not in the process of Huey's scheduler.
- A finalizer of `multiprocessing.util` runs in every such child that ends without a signal.

So `Scheduler.end` may be called by each of these. It gives every job a last run, on threads of its
own and within `END_SECONDS`: a job that hangs does not delay the other jobs, and delays the exit by
at most that time.
"""

from __future__ import annotations

import atexit
import multiprocessing
import multiprocessing.util
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .fork import reset_in_child
from .job import FlushRun, Job, OnFailure
from .threads import forwarding_interrupts, start_thread

DRAIN_SECONDS = 5.0
"""Seconds that a process that ends waits for the events queued for background handlers."""

END_SECONDS = 0.8
"""Seconds that a process that ends waits for its jobs, and so for sinks and the storage.

A worker process waits this long, then its consumer: less than two seconds together.
"""

FORK_SECONDS = 0.5
"""Seconds that a run of a job may delay a fork."""

ASK_SECONDS = 1.0
"""Seconds between two calls of a job's `when`."""


class Scheduler:
    """A daemon thread that runs each `Job` at its own interval, one after the other.

    Args:
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.jobs: tuple[Job, ...] = ()
        """The registered jobs; without any, `start` need not be called."""
        self._exit_callbacks: list[Callable[[], object]] = []
        self._at_exit = False
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._renew_lock()
        self._has_finalizer = False
        self.thread: threading.Thread | None = None
        """The thread in this process, if it was started."""
        self.ending = False
        """Whether every job is in its last run."""
        self._resume: dict[int, list[Callable[[], object]]] = {}
        """For each forking thread, the functions that resume its paused jobs."""

    def _renew_lock(self) -> None:
        self._made_by = threading.Lock
        self._starting = False
        self._wake = threading.Condition(threading.RLock())

    def every(
        self,
        interval: float,
        function: Callable[[], object],
        name: str,
        on_failure: OnFailure | None = None,
        first: float | None = None,
        run_at_exit: bool = True,
        own_thread: bool = False,
        when: Callable[[], bool] | None = None,
    ) -> Job:
        """Register a job; it runs once `start` was called.

        Args:
            interval: Seconds between two runs.
            function: The function to run.
            name: The name of the job, for logs.
            on_failure: Called when `function` raises; by default the exception is logged.
            first: Seconds until the first run; one interval by default.
            run_at_exit: Whether the job also runs when the process ends.
            own_thread: Whether the job has its own thread, because it may wait for a server or
                a disk.
            when: Called about once a second; the job is due as soon as it returns True.
        """
        due = self._clock() + (interval if first is None else first)
        job = Job(name, interval, function, on_failure, due, run_at_exit, own_thread, when)
        if run_at_exit:
            self._register_atexit()
        with self._wake:
            self.jobs = (*self.jobs, job)
            self._wake.notify_all()
        return job

    def cancel(self, job: Job) -> None:
        """Remove `job`; a run in progress is not interrupted."""
        with self._wake:
            self.jobs = tuple(other for other in self.jobs if other is not job)
            self._wake.notify_all()
        job.cancel()

    def start(self) -> None:
        """Start the thread, unless it runs in this process or there are no jobs."""
        if self.thread is not None or not self.jobs:
            return
        if self._made_by is not threading.Lock:  # gevent has patched it since
            self._renew_lock()
            for job in self.jobs:
                job.renew_locks()
        with self._wake:
            # A Unix signal handler may call this function while it runs.
            if self.thread is None and self.jobs and not self._starting:
                self._starting = True
                self._register_finalizer()
                thread = threading.Thread(
                    target=forwarding_interrupts(self._loop), name="huey-signals-kit", daemon=True
                )
                with suppress(RuntimeError):  # no thread: the caller must not fail
                    start_thread(thread)
                    self.thread = thread
                self._starting = False

    def flush(self, jobs: tuple[Job, ...], seconds: float | None = None) -> None:
        """Run each of `jobs` now, each on its own thread, so that its data are written out.

        A job that fails is tried again. A job that hangs does not delay the other jobs.

        Args:
            jobs: The jobs; those without `run_at_exit` are skipped.
            seconds: The time limit for all jobs together, by default `END_SECONDS`.
        """
        limit = END_SECONDS if seconds is None else seconds
        flush_runs = [FlushRun(job, limit) for job in jobs if job.run_at_exit]
        steps = [*(each.start for each in flush_runs), *(each.wait for each in flush_runs)]
        interrupt: KeyboardInterrupt | None = None
        for step in steps:
            try:
                step()
            except KeyboardInterrupt as exc:  # Huey 3.4 interrupts workers that are ending already
                interrupt = exc
                with suppress(KeyboardInterrupt):
                    step()
        if interrupt is not None:
            raise interrupt

    def on_exit(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the process ends, before the last run of every job."""
        if callback not in self._exit_callbacks:
            self._exit_callbacks.append(callback)
            self._register_atexit()

    def _register_atexit(self) -> None:
        if not self._at_exit:
            self._at_exit = True
            atexit.register(self.end)

    def _register_finalizer(self) -> None:
        # Huey's scheduler runs no hook, and no child of multiprocessing runs atexit.
        if multiprocessing.parent_process() is not None and not self._has_finalizer:
            self._has_finalizer = True
            multiprocessing.util.Finalize(None, self._end_once, exitpriority=0)

    def _end_once(self) -> None:
        if not self.ending:
            self.end()

    def end(self) -> None:
        """Call the exit callbacks, then run every job for the last time.

        Called by ``atexit``, by Huey's shutdown hook in a worker process, or as a finalizer of
        `multiprocessing`.
        """
        self.ending = True
        try:
            for callback in self._exit_callbacks:
                callback()
        finally:
            self.flush(self.jobs)

    def pause_for_fork(self) -> None:
        """Pause every job, because this thread is about to fork.

        A job that writes to the storage holds Huey's own lock of that storage. A child that is
        forked meanwhile would wait for this lock forever.
        """
        callbacks = self._resume[threading.get_ident()] = []
        for job in self.jobs:
            if (resume := job.pause(FORK_SECONDS)) is not None:
                callbacks.append(resume)

    def resume_after_fork(self) -> None:
        """Resume the jobs that `pause_for_fork` has paused; a forked child has new locks."""
        for resume in self._resume.pop(threading.get_ident(), ()):
            resume()

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
                times = (j.due if j.when is None else min(j.due, j.ask_at) for j in self.jobs)
                seconds = min(times) - self._clock()
                if seconds <= 0:
                    return True
                self._wake.wait(seconds)
            self.thread = None
            return False


scheduler = Scheduler()
"""The scheduler of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=scheduler.pause_for_fork, after_in_parent=scheduler.resume_after_fork
    )


class JobGroup:
    """The jobs of one kit, which are flushed and cancelled together.

    Args:
        on_failure: Called when one of the jobs raises.
    """

    def __init__(self, on_failure: OnFailure) -> None:
        self._on_failure = on_failure
        self._jobs: tuple[Job, ...] = ()

    def every(
        self,
        interval: float,
        function: Callable[[], object],
        name: str,
        first: float | None = None,
        run_at_exit: bool = True,
        own_thread: bool = False,
        when: Callable[[], bool] | None = None,
    ) -> None:
        """Register a job of this group, unless it is registered; see `Scheduler.every`."""
        if any(job.is_for(function, name) for job in self._jobs):
            return
        job = scheduler.every(
            interval, function, name, self._on_failure, first, run_at_exit, own_thread, when
        )
        self._jobs = (*self._jobs, job)

    def flush(self) -> None:
        """Run all jobs of this group once more, within `END_SECONDS`."""
        scheduler.flush(self._jobs)

    def cancel(self) -> None:
        """Cancel all jobs of this group."""
        jobs, self._jobs = self._jobs, ()
        for job in jobs:
            scheduler.cancel(job)

    def __bool__(self) -> bool:
        return bool(self._jobs)
