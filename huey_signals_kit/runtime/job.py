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
from .threads import forward_interrupt, forwarding_interrupts

RETRY_PAUSES = (0.1, 0.3)
"""Seconds before each retry of a job that fails while its data are written out."""


class OnFailure(Protocol):
    """A callback for the exceptions of jobs."""

    def __call__(self, name: str, exc: BaseException, last: bool = False) -> object:
        """Report that a job raised.

        Args:
            name: The name of the job.
            exc: The exception.
            last: Whether this was the last try before the process ends.
        """


def log_last_failure(name: str, exc: BaseException) -> None:
    """Log in one line that a job failed to write out its data."""
    log_error(
        "%s failed while its data were written out (%s): what it has not sent or written is lost "
        "if the process ends now.",
        name,
        short(exc),
        failed=name,
    )


class Job:
    """A function that runs at an interval; made by `Scheduler.every`.

    Args:
        name: The name of the job.
        interval: Seconds from the end of a run (with `own_thread`, from its start) to the next.
        function: The function.
        on_failure: Called when the function raises.
        due: When the first run is due, by the clock of the scheduler.
        run_at_exit: Whether the job also runs when the process ends.
        own_thread: Whether the job has its own thread.
        when: Called about once a second; the job is due as soon as it returns True.
    """

    def __init__(
        self,
        name: str,
        interval: float,
        function: Callable[[], object],
        on_failure: OnFailure | None,
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
        """The time of the next call of `when`."""
        self._function = function
        self._on_failure = on_failure or self._log
        self._errors = RateLimitedErrors()
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._running = threading.Lock()
        self._runner: int | None = None
        """The thread that is running the job."""
        self._run_since = 0.0
        self._requested = threading.Event()
        self._flush_runs: deque[FlushRun] = deque()
        self._cancelled = False
        self._thread: threading.Thread | None = None

    def renew_locks(self) -> None:
        """Forget every run and make new locks, after gevent has patched `threading`."""
        self._after_fork()

    def is_for(self, function: Callable[[], object], name: str) -> bool:
        """Return whether the job has this function and this name."""
        return self.name == name and self._function == function

    def is_wanted(self) -> bool:
        """Return whether `when` returns True, so that the job is due early."""
        try:
            return self.when is not None and self.when()
        except Exception as exc:
            self._on_failure(self.name, exc)
            return False

    def run(self, timeout: float = -1) -> bool:
        """Run the job now, and return whether it succeeded.

        Args:
            timeout: Seconds to wait while another thread is running it; -1 for any number.
        """
        succeeded, error = self.attempt(timeout)
        if error is not None:
            self._on_failure(self.name, error)
        return succeeded

    def attempt(self, timeout: float) -> tuple[bool, BaseException | None]:
        """Run the job now, and return whether it succeeded, and its exception.

        Args:
            timeout: Seconds to wait while another thread is running it; -1 for any number.
        """
        if not self._running.acquire(timeout=timeout):
            return False, None
        self._runner, self._run_since = threading.get_ident(), time.monotonic()
        try:
            self._function()
        except BaseException as exc:  # such as gevent.Timeout: one job must not end the others
            if type(exc).__name__ == "GreenletExit":
                raise
            if isinstance(exc, KeyboardInterrupt) and forward_interrupt(exc):
                return False, None
            return False, exc
        finally:
            self._runner = None
            self._running.release()
        return True, None

    def pause(self, seconds: float) -> Callable[[], object] | None:
        """Keep the job from running, and return a function that lets it run again.

        Return None if that is impossible: the calling thread is running the job, or a run takes
        longer than `seconds`, for example because a server does not answer.

        Args:
            seconds: Seconds since the start of the current run after which this call stops waiting.
        """
        if self._runner == threading.get_ident():
            return None
        since = time.monotonic() if self._runner is None else self._run_since
        running, timeout = self._running, since + seconds - time.monotonic()
        return running.release if running.acquire(timeout=max(timeout, 0)) else None

    def fail_last(self, exc: BaseException) -> None:
        """Report that the last run of the job failed."""
        self._on_failure(self.name, exc, last=True)

    def start(self) -> bool:
        """Start the job's own thread if it does not run; return whether there is one."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = spawn(self._loop)
        return self._thread is not None

    def request(self, last: FlushRun | None = None) -> None:
        """Make the job's own thread run it, or `last` if one is given."""
        if last is not None:
            self._flush_runs.append(last)
        self._requested.set()

    def cancel(self) -> None:
        """End the job's own thread after the requested run."""
        self._cancelled = True
        self._requested.set()

    def _loop(self) -> None:
        while not self._cancelled:
            self._requested.wait()
            self._requested.clear()
            if self._flush_runs:
                self._flush_runs.popleft()()
            elif not self._cancelled:
                self.run(0)

    def _log(self, name: str, exc: BaseException, last: bool = False) -> None:
        if last:
            log_last_failure(f"The job {name}", exc)
        else:
            self._errors.report(f"The job {name}", "on the scheduler", exc)


class FlushRun:
    """A run of a job that writes out its data; repeated after each of `RETRY_PAUSES` if it fails.

    Args:
        job: The job.
        seconds: The time limit for all tries together.
    """

    def __init__(self, job: Job, seconds: float) -> None:
        self._job = job
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._over = threading.Event()
        self._succeeded = False
        self._error: BaseException | None = None

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
            self._succeeded, self._error = self._job.attempt(left)
            if self._succeeded:
                break
        self._over.set()

    def wait(self) -> None:
        """Wait for the run, up to the time limit; report once if it failed."""
        self._over.wait(max(0.0, self._deadline - time.monotonic()))
        if not self._succeeded:
            late = TimeoutError(f"still running after {self._seconds:g} s")
            self._job.fail_last(self._error or late)


def spawn(target: Callable[[], object]) -> threading.Thread | None:
    """Start a daemon thread; return None if none can be started, for example late at exit."""
    thread = threading.Thread(
        target=forwarding_interrupts(target), name="huey-signals-kit-job", daemon=True
    )
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
