"""What the scheduler runs: a function, how often it is due, and what becomes of its failures."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ._checks import short
from ._failures import Failures, complain
from ._fork import reset_in_child

RETRY_PAUSES = (0.1, 0.3)
"""Seconds before each further try of a job that fails when its process ends."""


class OnFailure(Protocol):
    """Called when a job raises, with its name and the exception.

    *last* says that the job is not tried again before the process ends.
    """

    def __call__(self, name: str, exc: BaseException, last: bool = False) -> object: ...


def log_last_failure(name: str, exc: BaseException) -> None:
    """Log in one line that the last run of a job failed."""
    complain(
        "%s failed in its last run (%s): what it has not sent or written is lost if the process "
        "ends now.",
        name,
        short(exc),
        failed=name,
    )


class Job:
    """A function that runs every *interval* seconds; `Tick.every` makes these.

    Args:
        name: Its name in logs.
        interval: Seconds from the end of one run to the next.
        do: The function.
        failed: Called with what *do* raises; without it, that is logged.
        due: When the first run is due, by the clock of the scheduler.
        at_end: Whether it also runs when the process ends.
        apart: Whether it runs on a thread of its own, because it may wait for a server or a disk.
        when: Asked about once a second; the job is due as soon as it returns True.
    """

    def __init__(
        self,
        name: str,
        interval: float,
        do: Callable[[], object],
        failed: OnFailure | None,
        due: float,
        at_end: bool = True,
        apart: bool = False,
        when: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.interval = interval
        self.due = due
        self.at_end = at_end
        self.apart = apart
        self.when = when
        self.ask_at = 0.0
        """When the scheduler asks *when* next."""
        self._do = do
        self._failed = failed or self._log
        self._failures = Failures()
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._running = threading.Lock()
        self._requested = threading.Event()
        self._last_runs: deque[LastRun] = deque()
        self._cancelled = False
        self._thread: threading.Thread | None = None

    def renew_locks(self) -> None:
        """Make its locks again, as gevent has patched threading since; no thread uses them."""
        self._after_fork()

    def is_wanted(self) -> bool:
        """Return whether *when* asks for a run although the job is not due."""
        try:
            return self.when is not None and self.when()
        except Exception as exc:
            self._failed(self.name, exc)
            return False

    def run(self, timeout: float = -1) -> bool:
        """Run it now, and return whether it succeeded.

        Args:
            timeout: Seconds to wait while another thread is running it; -1 for any number.
        """
        done, failure = self.attempt(timeout)
        if failure is not None:
            self._failed(self.name, failure)
        return done

    def attempt(self, timeout: float) -> tuple[bool, BaseException | None]:
        """Run it now, and return whether it succeeded and what it raised.

        Args:
            timeout: Seconds to wait while another thread is running it; -1 for any number.
        """
        if not self._running.acquire(timeout=timeout):
            return False, None
        try:
            self._do()
        except BaseException as exc:  # gevent.Timeout, say: one job's must not end the others
            if type(exc).__name__ == "GreenletExit":
                raise
            return False, exc
        finally:
            self._running.release()
        return True, None

    def fail_last(self, exc: BaseException) -> None:
        """Report that the last run failed."""
        self._failed(self.name, exc, last=True)

    def start(self) -> bool:
        """Have a thread of its own; False if none can be had, as late at exit."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = spawn(self._loop)
        return self._thread is not None

    def request(self, last: LastRun | None = None) -> None:
        """Have its own thread run it, or do its *last* run."""
        if last is not None:
            self._last_runs.append(last)
        self._requested.set()

    def cancel(self) -> None:
        """End its own thread, once it has done what was requested."""
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
    """The last run of *job*, which is tried again after each of `RETRY_PAUSES` if it fails.

    Args:
        seconds: How long it may take, with all its tries.
    """

    def __init__(self, job: Job, seconds: float) -> None:
        self._job = job
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._over = threading.Event()
        self._done = False
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Begin on a thread of its own; where none can be had, it is over on return."""
        if self._job.apart and self._job.start():
            self._job.request(self)
        elif spawn(self) is None:
            self()

    def __call__(self) -> None:
        """Try until the job succeeds, or its time is over."""
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
        """Wait until it is over, or its time is; report once what went wrong."""
        self._over.wait(max(0.0, self._deadline - time.monotonic()))
        if not self._done:
            late = TimeoutError(f"it is not over after {self._seconds:g} s")
            self._job.fail_last(self._failure or late)


def spawn(target: Callable[[], object]) -> threading.Thread | None:
    """Start a daemon thread; None if none can be had, as late at exit."""
    thread = threading.Thread(target=target, name="huey-signals-kit-job", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
