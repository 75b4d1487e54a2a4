"""Slow actions, such as a sweep: on a thread of their own, one at a time for each queue.

This holds within one process; several processes of a server can sweep the same queue.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_STOP_SECONDS = 2.0
"""Seconds that the end of the process waits for an action to stop."""


class ServerStopped(Exception):
    """The reason why an action was stopped early."""

    def __init__(self) -> None:
        super().__init__("the server of the web interface was stopped")


@dataclass
class Run:
    """One run of an act, or of its dry run."""

    act: str
    key: str
    """The arguments of the act, such as the classes of errors to purge."""
    is_dry: bool
    user: str
    report: Any = None
    """The report so far; of an ended run the whole report."""
    error: Exception | None = None
    ended_at: float | None = None
    """When it ended, by a monotonic clock; None while it runs."""
    seconds: float = 0.0
    should_stop: bool = False

    def progress(self, report: Any) -> None:
        """Set the report so far; called repeatedly by the action.

        Raises:
            ServerStopped: The process ends.
        """
        self.report = report
        if self.should_stop:
            raise ServerStopped

    @property
    def age(self) -> float:
        """Seconds since it ended."""
        return 0.0 if self.ended_at is None else time.monotonic() - self.ended_at


class BackgroundActs:
    """The long actions of one queue: one runs at a time; the last run and dry run are kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._running: Run | None = None
        self._last: dict[tuple[str, bool], Run] = {}

    @property
    def running(self) -> Run | None:
        """The run that has not ended."""
        return self._running

    def last(self, act: str, is_dry: bool) -> Run | None:
        """Return the last run of an act that has ended."""
        return self._last.get((act, is_dry))

    def start(self, run: Run, work: Callable[[Run], Any]) -> bool:
        """Start a run, unless another one has not ended; return whether it was started.

        Args:
            run: The run; gets its report.
            work: Does the act and returns its report; called with the run.
        """
        with self._lock:
            if self._running is not None:
                return False
            self._running = run
            self._idle.clear()
            if not run.is_dry:  # what was counted before is no longer true
                self._last.pop((run.act, True), None)
                # The thread is a daemon, so without this it would end without a report.
                atexit.register(self.stop)
        thread = threading.Thread(
            target=self._do, args=(run, work), name=f"page {run.act}", daemon=True
        )
        try:
            thread.start()
        except BaseException:
            self._running = None
            self._idle.set()
            raise
        return True

    def wait(self, seconds: float) -> None:
        """Wait up to `seconds` for the end of the run."""
        self._idle.wait(seconds)

    def stop(self) -> None:
        """Stop the run, and wait until it has logged what it has done; called when Python exits."""
        run = self._running
        if run is not None:
            run.should_stop = True
            self._idle.wait(_STOP_SECONDS)

    def _do(self, run: Run, work: Callable[[Run], Any]) -> None:
        started = time.monotonic()
        try:
            run.report = work(run)
        except Exception as exc:
            run.error, run.report = exc, getattr(exc, "report", run.report)
        finally:
            with self._lock:
                run.ended_at = time.monotonic()
                run.seconds = run.ended_at - started
                self._last[run.act, run.is_dry] = run
                self._running = None
                atexit.unregister(self.stop)
                self._idle.set()
