"""Jobs of the scheduler: functions with an interval, and the handling of their failures."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from .._checks import short
from .fork import reset_in_child
from .log import RateLimitedErrors, log_error

RETRY_PAUSES = (0.1, 0.3)
"""Seconds before each retry of a job that fails in its last run."""


class OnFailure(Protocol):
    """Called when a job raises, with its name and the exception.

    *last* is True if the job is not tried again before the process ends.
    """

    def __call__(self, name: str, exc: BaseException, last: bool = False) -> object: ...


def log_last_failure(name: str, exc: BaseException) -> None:
    """Log in one line that the last run of a job failed."""
    log_error(
        "%s failed in its last run (%s): data that it has not sent or written are lost if the "
        "process ends now.",
        name,
        short(exc),
        failed=name,
    )


class Job:
    """A function that runs every *interval* seconds; `Scheduler.every` makes these.

    Args:
        name: The name of the job, for logs.
        interval: Seconds from the end of one run to the next.
        do: The function.
        failed: Called with the exceptions of *do*; by default they are logged.
        due: When the first run is due, by the clock of the scheduler.
        at_end: Whether the job also runs when the process ends.
        apart: Whether the job has a thread of its own, because it may wait for a server or a disk.
        when: Called about once a second; the job is due as soon as it returns True.
    """

    def __init__(
        self,
        name: str,
        interval: float,
        do: Callable[[], object],
        failed: OnFailure | None,
        due: float,
        run_at_exit: bool = True,
        own_thread: bool = False,
        when: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.interval = interval
        self.due = due
        self.run_at_exit = run_at_exit
        self.own_thread = own_thread
        self.when = when
        self.ask_at = 0.0
        """The time of the next call of *when*."""
        self._do = do
        self._failed = failed or self._log
        self._failures = RateLimitedErrors()
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._running = threading.Lock()
        self._requested = threading.Event()
        self._last_runs: deque[LastRun] = deque()
        self._cancelled = False
        self._thread: threading.Thread | None = None

    def renew_locks(self) -> None:
        """Make new locks after gevent has patched `threading`; no thread may hold the old ones."""
        self._after_fork()

    def is_wanted(self) -> bool:
        """Return whether *when* returns True, so that the job is due early."""
        try:
            return self.when is not None and self.when()
        except Exception as exc:
            self._failed(self.name, exc)
            return False

    def run(self, timeout: float = -1) -> bool:
        """Run the job now, and return whether it succeeded.

        Args:
            timeout: Seconds to wait while another thread is running it; -1 for any number.
        """
        done, failure = self.attempt(timeout)
        if failure is not None:
            self._failed(self.name, failure)
        return done

    def attempt(self, timeout: float) -> tuple[bool, BaseException | None]:
        """Run the job now, and return whether it succeeded, and its exception.

        Args:
            timeout: Seconds to wait while another thread is running it; -1 for any number.
        """
        if not self._running.acquire(timeout=timeout):
            return False, None
        try:
            self._do()
        except BaseException as exc:  # such as gevent.Timeout: one job must not end the others
            if type(exc).__name__ == "GreenletExit":
                raise
            return False, exc
        finally:
            self._running.release()
        return True, None

    def fail_last(self, exc: BaseException) -> None:
        """Report that the last run of the job failed."""
        self._failed(self.name, exc, last=True)

    def start(self) -> bool:
        """Start the job's own thread; return False if none can be started, as late at exit."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = spawn(self._loop)
        return self._thread is not None

    def request(self, last: LastRun | None = None) -> None:
        """Have the job's own thread run it, or do its *last* run."""
        if last is not None:
            self._last_runs.append(last)
        self._requested.set()

    def cancel(self) -> None:
        """End the job's own thread after the requested run."""
        self._cancelled = True
        self._requested.set()

    def _loop(self) -> None:
        while not self._cancelled:
            self._requested.wait()
            self._requested.clear()
            if self._last_runs:
                self._last_runs.popleft()()
            elif not self._cancelled:
                self.run(0)

    def _log(self, name: str, exc: BaseException, last: bool = False) -> None:
        if last:
            log_last_failure(f"The job {name}", exc)
        else:
            self._failures.report(f"The job {name}", "on the tick", exc)


class LastRun:
    """The last run of a job, which is repeated after each of `RETRY_PAUSES` if it fails.

    Args:
        job: The job.
        seconds: The time limit for all tries together.
    """

    def __init__(self, job: Job, seconds: float) -> None:
        self._job = job
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._over = threading.Event()
        self._done = False
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Start the run on another thread; if no thread can be started, do it here."""
        if self._job.own_thread and self._job.start():
            self._job.request(self)
        elif spawn(self) is None:
            self()

    def __call__(self) -> None:
        """Try until the job succeeds or the time limit is reached."""
        for pause in (0.0, *RETRY_PAUSES):
            if time.monotonic() + pause >= self._deadline:
                break
            time.sleep(pause)
            left = max(0.0, self._deadline - time.monotonic())
            self._done, self._failure = self._job.attempt(left)
            if self._done:
                break
        self._over.set()

    def wait(self) -> None:
        """Wait for the run, up to the time limit; report once if it failed."""
        self._over.wait(max(0.0, self._deadline - time.monotonic()))
        if not self._done:
            late = TimeoutError(f"still running after {self._seconds:g} s")
            self._job.fail_last(self._failure or late)


def spawn(target: Callable[[], object]) -> threading.Thread | None:
    """Start a daemon thread; return None if none can be started, as late at exit."""
    thread = threading.Thread(target=target, name="huey-signals-kit-job", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
