"""One daemon thread per process, for all that no worker should wait for.

It starts with the first `Tick.start` in a process, so again in a forked child, and works with
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

from ._failures import Failures
from ._fork import reset_in_child

DRAIN_SECONDS = 5.0
"""How long a process that ends waits for work that is due."""

_AGAIN_SECONDS = 0.05


class Job:
    """Something to do every *interval* seconds; `Tick.every` makes these."""

    def __init__(
        self,
        name: str,
        interval: float,
        do: Callable[[], object],
        failed: Callable[[str, BaseException], object] | None,
        due: float,
        at_end: bool = True,
        apart: bool = False,
    ) -> None:
        self.name = name
        self.interval = interval
        self.due = due
        self.at_end = at_end
        self.apart = apart
        self._do = do
        self._failed = failed or self._log
        self._failures = Failures()
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._running = threading.Lock()

    def run(self, timeout: float = -1) -> bool:
        """Do it now, unless another thread is at it for longer than *timeout* seconds.

        Returns whether it was done. ``failed`` is told what it raises; it has its turn again.
        """
        if not self._running.acquire(timeout=timeout):
            return False
        try:
            self._do()
        except BaseException as exc:  # gevent.Timeout, say: one job's must not end the others
            if type(exc).__name__ == "GreenletExit":
                raise
            self._failed(self.name, exc)
            return False
        else:
            return True
        finally:
            self._running.release()

    def _log(self, name: str, exc: BaseException) -> None:
        self._failures.report(f"The job {name}", "on the tick", exc)


class Tick:
    """Runs each `Job` at its own interval, one after the other, on one daemon thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.jobs: tuple[Job, ...] = ()
        """What there is to do; without any, `start` need not be called."""
        self._before_end: list[Callable[[], object]] = []
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
        self._wake = threading.Condition(threading.Lock())

    def every(
        self,
        interval: float,
        do: Callable[[], object],
        name: str,
        failed: Callable[[str, BaseException], object] | None = None,
        first: float | None = None,
        at_end: bool = True,
        apart: bool = False,
    ) -> Job:
        """Do *do* every *interval* seconds, once `start` was called.

        It is done after *first* seconds for the first time, or after one interval; with
        *at_end*, it is one of those that `drain` does.
        *failed* is told the *name* and what *do* raised; without it, that is logged.
        """
        due = self._clock() + (interval if first is None else first)
        job = Job(name, interval, do, failed, due, at_end, apart)
        if at_end:
            self._hear_of_the_end()
        with self._wake:
            self.jobs = (*self.jobs, job)
            self._wake.notify_all()
        return job

    def cancel(self, job: Job) -> None:
        """Never do *job* again; what is being done just now is not interrupted."""
        with self._wake:
            self.jobs = tuple(each for each in self.jobs if each is not job)
            self._wake.notify_all()

    def start(self) -> None:
        """Have the thread in this process, if there is something to do; else nothing happens."""
        if self.thread is not None or not self.jobs:
            return
        if self._made_by is not threading.Lock:  # gevent has patched it since
            self._new_lock()
        with self._wake:
            if self.thread is None and self.jobs:
                self._hear_of_the_childs_end()
                thread = threading.Thread(target=self._loop, name="huey-signals-kit", daemon=True)
                with suppress(RuntimeError):  # no thread can be had; a worker is on its way here
                    thread.start()
                    self.thread = thread

    def drain(self, jobs: tuple[Job, ...], seconds: float | None = None) -> None:
        """Do each of *jobs* once more now, again if it fails, for at most *seconds* in all.

        By default that is `DRAIN_SECONDS`.

        Each on a thread of its own: one that hangs or fails keeps neither the others from their
        turn nor the process from ending.
        """
        deadline = self._clock() + (DRAIN_SECONDS if seconds is None else seconds)
        work = [_spawn(self._finish, job, deadline) for job in jobs if job.at_end]
        for thread in work:
            if thread is not None:
                thread.join(max(0.0, deadline - self._clock()))

    def before_end(self, do: Callable[[], object]) -> None:
        """Do *do* when the process ends, before every job is done once more."""
        if do not in self._before_end:
            self._before_end.append(do)
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
        for do in self._before_end:
            do()
        self.drain(self.jobs)

    def _finish(self, job: Job, deadline: float) -> None:
        while (left := deadline - self._clock()) > 0 and not job.run(timeout=left):
            time.sleep(_AGAIN_SECONDS)

    def _loop(self) -> None:
        try:
            while self._wait():
                for job in self.jobs:
                    if job.due <= self._clock():
                        if job.apart:
                            _spawn(job.run, 0)
                        else:
                            job.run()
                        job.due = self._clock() + job.interval
        finally:
            if self.thread is threading.current_thread():
                self.thread = None

    def _wait(self) -> bool:
        """Until a job is due; False, and no thread any more, when there is none left."""
        with self._wake:
            while self.jobs:
                soonest = min(job.due for job in self.jobs) - self._clock()
                if soonest <= 0:
                    return True
                self._wake.wait(soonest)
            self.thread = None
            return False


def _spawn(target: Callable[..., object], *args: object) -> threading.Thread | None:
    """A daemon thread for *target*; where none can be had, as at the end, it is done here."""
    thread = threading.Thread(target=target, args=args, name="huey-signals-kit-job", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        target(*args)
        return None
    return thread


tick = Tick()
"""The tick of this process."""


class Jobs:
    """The jobs of one kit."""

    def __init__(self, failed: Callable[[str, BaseException], object]) -> None:
        self._failed = failed
        self._jobs: tuple[Job, ...] = ()

    def every(
        self,
        interval: float,
        do: Callable[[], object],
        name: str,
        first: float | None = None,
        at_end: bool = True,
        apart: bool = False,
    ) -> None:
        """Do *do* every *interval* seconds, and *at_end* once more when the process ends.

        It is done after *first* seconds for the first time, or after one interval; *apart* on a
        thread of its own, so that it may hang without the other jobs.
        """
        job = tick.every(interval, do, name, self._failed, first, at_end, apart)
        self._jobs = (*self._jobs, job)

    def drain(self) -> None:
        """Do all of it once more, within `DRAIN_SECONDS`."""
        tick.drain(self._jobs)

    def cancel(self) -> None:
        """No job is done any more."""
        jobs, self._jobs = self._jobs, ()
        for job in jobs:
            tick.cancel(job)

    def __bool__(self) -> bool:
        return bool(self._jobs)
