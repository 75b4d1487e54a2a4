"""A lease: a right that one process of a queue has at a time, for a limited time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import astuple
from typing import NamedTuple
from uuid import uuid4

from ..runtime.fork import reset_in_child
from ..runtime.process_id import FOREIGN_DATA_ERRORS, ProcessId, parse_process, this_process
from ..runtime.threads import RenewedLock
from ._backend import AtomicKeyValue

_LARGEST = 1000
"""Bytes of a value that is parsed, at most; the kit's own have a third of that."""

_LONGEST = 366 * 86_400
"""Seconds of a lease, at most; a larger number in a stored value is not the kit's."""


class Lease:
    """A lease on the ledger of a queue, made by `Ledger.lease`.

    A holder that is killed never releases its lease, so the lease expires. On Redis the server
    deletes it. Elsewhere a process that wants it takes it over once the value has not changed for
    that time by its own monotonic clock, so it has to call `acquire` repeatedly: the clocks of two
    hosts are never compared. If the holder ran on the same host and has ended, the operating system
    says so, and the lease is taken over immediately.

    The holder stops trusting its lease first: it counts the time from before its request, the
    others from after they have seen the value.

    A process with priority can take the lease over from a process without it, which finds out at
    its next call.

    Args:
        values: Returns where leases are stored.
        name: The name of the lease.
        seconds: Seconds that the lease is held after each `acquire` or `renew`.
        clock: A monotonic clock, in seconds.
        has_priority: Whether this process has priority.
    """

    def __init__(
        self,
        values: Callable[[], AtomicKeyValue],
        name: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        has_priority: bool = False,
    ) -> None:
        self._has_priority = has_priority
        self._values = values
        self._key = f"lease:{name}"
        self._seconds = seconds
        self._clock = clock
        self._sequence = 0
        self.holder: ProcessId | None = None
        """The holder at the last call of `acquire` that failed; else None."""
        self.can_take_over = False
        """Whether that holder must yield the lease to this process, which has priority."""
        self._seen: tuple[bytes | None, float] = (None, 0.0)
        """The value of another holder, and when this process saw it first."""
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        # A forked child does not hold the lease of its parent.
        self._id = uuid4().hex
        self._until = 0.0
        self._lock = RenewedLock()

    @property
    def held(self) -> bool:
        """Whether the lease is held, as far as this process knows without a round trip."""
        return self._clock() < self._until

    def acquire(self, take_over: bool = False) -> bool:
        """Acquire or renew the lease; return False if another process keeps it.

        Args:
            take_over: Whether to use the priority of this process, if it has one.
        """
        with self._lock:
            began, values = self._clock(), self._values()
            stored = values.get(self._key)
            new, other = self._value(), _parse(stored or b"")
            self.can_take_over = self._has_priority and other.must_yield
            if stored is None:
                acquired = values.put_if_absent(self._key, new, self._seconds)
            elif (
                self._is_own(stored) or self._is_free(stored) or (take_over and self.can_take_over)
            ):
                acquired = values.compare_and_set(self._key, stored, new, self._seconds)
            else:
                acquired = False
            self.holder = None if acquired else other.process
            self._until = began + self._seconds if acquired else 0.0
            return acquired

    def renew(self) -> bool:
        """Extend the lease; return False if it was lost, so that the work under it must stop."""
        with self._lock:
            began, values = self._clock(), self._values()
            stored = values.get(self._key)
            renewed = self._is_own(stored) and values.compare_and_set(
                self._key, stored or b"", self._value(), self._seconds
            )
            self._until = began + self._seconds if renewed else 0.0
            return renewed

    def release(self) -> None:
        """Release the lease; do nothing if another process holds it."""
        with self._lock:
            self._until, values = 0.0, self._values()
            stored = values.get(self._key)
            if stored is not None and self._is_own(stored):
                values.compare_and_delete(self._key, stored)

    def _value(self) -> bytes:
        # The sequence number makes each value different, so that a renewal is seen as a change.
        self._sequence += 1
        own = astuple(this_process())
        priority = [True] if self._has_priority else []  # a field that came later
        return json.dumps([self._id, self._sequence, self._seconds, own, *priority]).encode("ascii")

    def _is_own(self, stored: bytes | None) -> bool:
        return stored is not None and _parse(stored).lease_id == self._id

    def _is_free(self, stored: bytes) -> bool:
        """Return whether the lease of another process has expired, or its process has ended."""
        holder = _parse(stored)
        if holder.process is not None and holder.process.is_alive() is False:
            return True
        now = self._clock()
        if self._seen[0] != stored:
            self._seen = (stored, now)
        return now - self._seen[1] >= (holder.seconds or self._seconds)


class _Value(NamedTuple):
    """What is stored of a lease; empty if the value is not the kit's."""

    lease_id: str = ""
    seconds: float = 0.0
    process: ProcessId | None = None
    has_priority: bool = False

    @property
    def must_yield(self) -> bool:
        return self.process is not None and not self.has_priority


def _parse(raw: bytes) -> _Value:
    try:
        if len(raw) > _LARGEST:
            raise ValueError(f"{len(raw)} bytes")
        lease_id, _, seconds, process, *rest = json.loads(raw.decode("ascii"))
        holder = parse_process(*process)
        seconds = float(seconds) if 0 < seconds <= _LONGEST else 0.0
        return _Value(str(lease_id), seconds, holder, rest[:1] == [True])
    except FOREIGN_DATA_ERRORS:
        return _Value()
