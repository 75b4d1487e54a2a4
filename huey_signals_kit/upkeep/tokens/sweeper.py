"""One sweep at a time, by whoever asks for it first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from ..._checks import check_huey, short, validate_flag, validate_seconds
from ...ledger import HEARTBEAT_SECONDS, Ledger, UnreadableLedger, open_ledger
from ...runtime.fork import reset_in_child
from ...store import UPKEEP, open_kit_store, open_store
from ...store.reader import Reader
from .._live_ids import LiveTaskIds
from .report import SweepReport, SweepStopped
from .sweep import TokenSweep

LEAST_AGE = 3 * HEARTBEAT_SECONDS
DAY = 86_400.0
MOST_AGE = 3650 * DAY
LEASE = "sweep"
LEASE_SECONDS = 30.0
SETTLE_SECONDS = 2 * LEAST_AGE
"""How long living processes are waited for to say what they run."""

RELEASE_SECONDS = 2.0
"""How long a process that is told to end waits to let the lease go."""

_POLL_SECONDS = 0.5
_NAMED = 3
"""The most processes that a message names."""


class SweepCancelled(RuntimeError):
    """Somebody has told it to end."""


class LeaseLost(RuntimeError):
    """This sweep was held up for so long that another one may have begun."""


def sweep_tokens(
    huey: Any,
    min_age: float = DAY,
    dry_run: bool = False,
    *,
    wait: float = 0.0,
    clock: Callable[[], float] = time.time,
    progress: Callable[[SweepReport], object] | None = None,
) -> SweepReport:
    """Delete revoke tokens that two sweeps, *min_age* seconds apart, have found orphaned.

    With *dry_run* nothing is deleted and nothing marked. One process sweeps at a time: while
    another one does, nothing happens after *wait* seconds, and the report says so (one that
    was killed on another host is known to be gone after half a minute, if waited for).
    *clock* gives seconds since the epoch; *progress* is told now and then what was done so far.
    `SweepStopped` if the storage goes away half way: its ``report`` has what was done until then.
    """
    huey = check_huey(huey, "sweep_tokens()")
    sweeper = Sweeper(huey, clock)
    return sweeper.sweep(min_age, dry_run, wait=wait, progress=progress)


def check_age(min_age: object, who: str) -> None:
    """`ValueError` for an age at which nobody could know what is running, or that never comes."""
    seconds = validate_seconds(min_age, who)
    if seconds < LEAST_AGE:
        raise ValueError(
            f"{who} takes at least {LEAST_AGE:g} seconds, got {min_age!r}: processes say every "
            f"{HEARTBEAT_SECONDS:g} seconds what they run, and may miss two of these"
        )
    if seconds > MOST_AGE:
        raise ValueError(
            f"{who} takes at most {MOST_AGE:,.0f} seconds, which are ten years, got "
            f"{short(min_age)}: no token would be deleted before that"
        )


class Sweeper:
    """Sweeps the tokens of one Huey, again and again; keep it.

    It remembers since when another one's lease has not changed.
    """

    def __init__(
        self,
        huey: Any,
        clock: Callable[[], float] = time.time,
        ledger: Ledger | None = None,
    ) -> None:
        self._huey = huey
        self._clock = clock
        self._ledger = ledger or open_ledger(huey)
        self._lease = self._ledger.lease(LEASE, LEASE_SECONDS)
        self._renewed = 0.0
        self.cancelled = False
        """Set it to have a sweep end where it is."""
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        self._busy = threading.Lock()

    def sweep(
        self,
        min_age: float = DAY,
        dry_run: bool = False,
        *,
        wait: float = 0.0,
        progress: Callable[[SweepReport], object] | None = None,
    ) -> SweepReport:
        """As `sweep_tokens`."""
        check_age(min_age, "min_age= of sweep_tokens()")
        validate_flag(dry_run, "dry_run= of sweep_tokens()")
        tell = progress or (lambda report: None)
        if dry_run:
            return self._run(min_age, True, tell)
        busy = self._busy
        if not busy.acquire(blocking=False):
            return SweepReport(stopped="another thread of this process is sweeping")
        try:
            return self._run_alone(min_age, wait, tell)
        finally:
            busy.release()

    def _run_alone(
        self, min_age: float, wait: float, progress: Callable[[SweepReport], object]
    ) -> SweepReport:
        if not self._acquire(wait):
            return SweepReport(stopped="another process is sweeping")
        self._renewed = time.monotonic()
        try:
            found = self._run(min_age, False, progress)
        except Exception:
            self._release()
            raise
        except BaseException:
            # This process is told to end: a storage that hangs may not keep it from that.
            releasing = threading.Thread(target=self._release, daemon=True)
            releasing.start()
            releasing.join(RELEASE_SECONDS)
            raise
        self._release()
        return found

    def _release(self) -> None:
        with suppress(Exception):  # gone with the storage; it ends by itself
            self._lease.release()

    def _run(
        self, min_age: float, dry_run: bool, progress: Callable[[SweepReport], object]
    ) -> SweepReport:
        store, reader = open_store(self._huey), Reader(self._huey)
        sweep = TokenSweep(
            store,
            open_kit_store(self._huey, UPKEEP),
            LiveTaskIds(store, self._ledger, reader.ids),
            reader.is_token,
            self._settle,
            keep=(lambda: None) if dry_run else self._keep,
            min_age=min_age,
            dry_run=dry_run,
            clock=self._clock,
            progress=progress,
        )
        try:
            sweep.run()
        except UnreadableLedger as exc:
            sweep.stopped = str(exc)
        except Exception as exc:
            sweep.stopped = repr(exc)
            raise SweepStopped(str(self._huey.name), sweep.report(), exc) from exc
        return sweep.report()

    def _acquire(self, wait: float) -> bool:
        deadline = time.monotonic() + wait
        while not self._lease.acquire():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _keep(self) -> None:
        """Hold the lease for longer; `LeaseLost` if it was held too long already."""
        if self.cancelled:
            raise SweepCancelled("it was told to end")
        now = time.monotonic()
        if now - self._renewed < LEASE_SECONDS / 3:
            return
        if not self._lease.renew():
            raise LeaseLost("held up for so long that another process may be sweeping")
        self._renewed = now

    def _settle(self) -> str:
        """Wait until every living process has written its record again.

        Return a message about the processes that have not, empty if all have.
        """
        before = self._ledger.heartbeat_numbers()
        deadline = time.monotonic() + SETTLE_SECONDS
        while before:
            if time.monotonic() > deadline:
                return self._unanswered(before)
            self._keep()
            time.sleep(_POLL_SECONDS)
            now = self._ledger.heartbeat_numbers()
            # Less than before is no word of its: a server was set back to an older state.
            before = {
                each: count for each, count in before.items() if now.get(each, count + 1) <= count
            }
        return ""

    def _unanswered(self, ids: Collection[str]) -> str:
        found = [each.heartbeat for each in self._ledger.processes() if each.heartbeat.id in ids]
        named = [f"process {each.pid} on {each.host} (record {each.id})" for each in found]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        return (
            f"{', '.join(named[:_NAMED])}{more} did not write a record of running tasks within "
            f"{SETTLE_SECONDS:g} seconds; the marks are kept. If a process is suspended or cut "
            "off, sweep again when it is back. If it has ended, a running consumer removes its "
            "record after ten minutes; without a consumer use: huey-signals forget HUEY --record "
            "ID --apply"
        )
