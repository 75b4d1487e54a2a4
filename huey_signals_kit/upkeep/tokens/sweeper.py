"""Run a sweep, or a purge of results, so that one process at a time works on a queue.

Two sweeps at the same time would overwrite each other's marks. So a sweep holds a lease in the
ledger, which it renews as it works. A process that was suspended for longer than the lease finds
that it has lost it, and stops before its next step.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from ..._checks import check_huey, short, validate_flag, validate_seconds
from ...ledger import HEARTBEAT_SECONDS, Ledger, open_ledger
from ...runtime.fork import reset_in_child
from ...store import UPKEEP, open_kit_store
from .._limits import DAY, MIN_AGE
from .info import SweepReport
from .last_sweep import store_sweep_end
from .sweep import TokenSweep

MAX_AGE = 3650 * DAY
LEASE = "sweep"
LEASE_SECONDS = 30.0
LEASE_WAIT_SECONDS = LEASE_SECONDS + 5
"""Seconds to wait for the sweep of another process: longer than the lease of a killed one."""
HEARTBEAT_WAIT_SECONDS = 2 * MIN_AGE
"""Seconds to wait at most until all living processes have written a heartbeat."""

RELEASE_SECONDS = 2.0
"""Seconds for which a process that is ending waits for the release of the lease."""

_POLL_SECONDS = 0.5
_MAX_NAMED = 3
"""The number of processes that a message names at most."""


class SweepCancelled(RuntimeError):
    """The error of a sweep whose kit was uninstalled."""


class LeaseLost(RuntimeError):
    """The error of a sweep that was suspended for longer than its lease."""


def sweep_tokens(
    huey: Any,
    min_age: float = DAY,
    dry_run: bool = False,
    *,
    wait: float = 0.0,
    clock: Callable[[], float] = time.time,
    on_progress: Callable[[SweepReport], object] | None = None,
) -> SweepReport:
    """Delete revoke tokens that two sweeps have found orphaned.

    One process sweeps at a time. If another process is sweeping, nothing is done, and the report
    says so. If the sweeping process was killed on another host, its lease expires after 30 seconds.

    Args:
        huey: The Huey, with a kit or without.
        min_age: Seconds between the two sweeps; at least `MIN_AGE`.
        dry_run: Delete nothing and mark nothing.
        wait: Seconds to wait at most for another process that is sweeping.
        clock: Returns seconds since the epoch.
        on_progress: Called repeatedly with the report so far.

    Raises:
        SweepStopped: It failed halfway, as when the storage became unreachable.
    """
    huey = check_huey(huey, "sweep_tokens()")
    sweeper = Sweeper(huey, clock)
    report: SweepReport = sweeper.run(min_age, dry_run, wait=wait, on_progress=on_progress)
    return report


def validate_min_age(min_age: object, argument: str) -> None:
    """Check a number of seconds between two observations of the same thing.

    Args:
        min_age: Seconds.
        argument: The name of the argument, for the message.

    Raises:
        TypeError: It is not a number.
        ValueError: It is too small to know what processes run, or so large that nothing would ever
            be deleted.
    """
    seconds = validate_seconds(min_age, argument)
    if seconds < MIN_AGE:
        raise ValueError(
            f"{argument} takes at least {MIN_AGE:g} seconds, got {min_age!r}: processes write "
            f"every {HEARTBEAT_SECONDS:g} seconds what they run, and may miss two of these"
        )
    if seconds > MAX_AGE:
        raise ValueError(
            f"{argument} takes at most {MAX_AGE:,.0f} seconds, which are ten years, got "
            f"{short(min_age)}: nothing would be deleted before that"
        )


class Sweeper:
    """The sweeps of one Huey's tokens, one sweep at a time; a subclass does other such work.

    Keep this object for repeated sweeps: it remembers for how long the lease of another process has
    been unchanged, and so learns that the process is dead.

    Args:
        huey: The Huey.
        clock: Returns seconds since the epoch.
        ledger: The ledger of its queue; opened if missing.
        is_cancelled: Returns whether a running sweep must stop before its next step.
    """

    work: Any = TokenSweep
    report: Any = SweepReport
    function = "sweep_tokens()"
    lease_name = LEASE
    doing = "sweeping"
    """The work in messages."""

    def __init__(
        self,
        huey: Any,
        clock: Callable[[], float] = time.time,
        ledger: Ledger | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._huey = huey
        self._clock = clock
        self._ledger = ledger or open_ledger(huey)
        self._lease = self._ledger.lease(self.lease_name, LEASE_SECONDS)
        self._renewed_at = 0.0
        self._is_cancelled = is_cancelled
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._thread_lock = threading.Lock()

    def run(
        self,
        min_age: float = DAY,
        dry_run: bool = False,
        *,
        wait: float = 0.0,
        on_progress: Callable[[Any], object] | None = None,
    ) -> Any:
        """Do one sweep, or purge, with the arguments of `sweep_tokens`."""
        validate_min_age(min_age, f"min_age= of {self.function}")
        validate_flag(dry_run, f"dry_run= of {self.function}")
        sweep = self.work(
            self._huey,
            self._ledger,
            self,
            min_age=min_age,
            dry_run=dry_run,
            clock=self._clock,
            on_progress=on_progress or (lambda report: None),
        )
        if dry_run:
            return sweep.run()
        thread_lock = self._thread_lock
        if not thread_lock.acquire(blocking=False):
            return self.report(stopped=f"another thread of this process is {self.doing}")
        try:
            if not self._acquire_lease(wait):
                return self.report(stopped=f"another process is {self.doing}")
            try:
                report = sweep.run()
            except Exception:
                self._release_lease()
                raise
            except BaseException:
                # This process is ending, and a storage that hangs must not keep it from that.
                releasing = threading.Thread(target=self._release_lease, daemon=True)
                releasing.start()
                releasing.join(RELEASE_SECONDS)
                raise
            if not report.stopped:
                with suppress(Exception):  # the sweep is done, only its stored end is missing
                    self._store_end()
            self._release_lease()
            return report
        finally:
            thread_lock.release()

    def _store_end(self) -> None:
        store_sweep_end(open_kit_store(self._huey, UPKEEP), self._clock())

    def _acquire_lease(self, wait: float) -> bool:
        deadline = time.monotonic() + wait
        while not self._lease.acquire():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        self._renewed_at = time.monotonic()
        return True

    def _release_lease(self) -> None:
        with suppress(Exception):  # if the storage is unreachable, the lease expires
            self._lease.release()

    def check_may_continue(self) -> None:
        """Renew the lease, if that is due.

        Raises:
            SweepCancelled: The sweep was cancelled.
            LeaseLost: The lease has expired.
        """
        if self._is_cancelled():
            raise SweepCancelled("the kit was uninstalled meanwhile")
        now = time.monotonic()
        if now - self._renewed_at < LEASE_SECONDS / 3:
            return
        if not self._lease.renew():
            raise LeaseLost(
                "this process was suspended and lost its lease; another process may be "
                f"{self.doing}"
            )
        self._renewed_at = now

    def wait_for_heartbeats(self) -> str:
        """Wait until every living process has written its record again.

        Return a message about the processes that have not; empty if all have.
        """
        missing = self._ledger.heartbeat_numbers()
        deadline = time.monotonic() + HEARTBEAT_WAIT_SECONDS
        while missing:
            if time.monotonic() > deadline:
                return self._describe_silent(missing)
            self.check_may_continue()
            time.sleep(_POLL_SECONDS)
            numbers = self._ledger.heartbeat_numbers()
            # A smaller number is no new heartbeat: the server was restored to an older state. A
            # process that is no longer listed has ended.
            missing = {
                process_id: number
                for process_id, number in missing.items()
                if numbers.get(process_id, number + 1) <= number
            }
        return ""

    def _describe_silent(self, process_ids: Collection[str]) -> str:
        records = [process.heartbeat for process in self._ledger.processes()]
        names = [
            f"process {record.pid} on {record.host} (record {record.id})"
            for record in records
            if record.id in process_ids
        ]
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        return (
            f"{', '.join(names[:_MAX_NAMED])}{more} did not write a record of running tasks within "
            f"{HEARTBEAT_WAIT_SECONDS:g} seconds; the marks are kept. If a process is suspended or "
            "cut off, try again when it is back. If it has ended, a running consumer removes its "
            "record after ten minutes; without a consumer run: huey-signals forget HUEY --record "
            "ID --apply"
        )
