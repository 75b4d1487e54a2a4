"""One holder at a time, in all processes of a queue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from uuid import uuid4

from ..runtime.fork import reset_in_child
from ..runtime.process_id import FOREIGN_DATA_ERRORS, ProcessId, this_process
from ..runtime.threads import RenewedLock
from ._backend import AtomicKeyValue

_LARGEST = 1000
"""Bytes of a value that is read; ours take a third of that."""
_LONGEST = 366 * 86_400
"""Seconds that anybody may hold one; of more nobody of ours has asked for."""


class Lease:
    """Made by `Ledger.lease`; it is held for so many seconds after `acquire` or `renew`.

    A holder that was killed blocks the next one for no longer: on Redis the server lets it go;
    elsewhere whoever waits takes it once it has not changed for so long by his own clock, so he
    has to ask again. On the holder's own host he takes it at once.
    """

    def __init__(
        self,
        cells: Callable[[], AtomicKeyValue],
        name: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cells = cells
        self._key = f"lease:{name}"
        self._seconds = seconds
        self._clock = clock
        self._turn = 0
        self.holder: ProcessId | None = None
        """The holder at the last call of `acquire` that failed; else None."""
        self._seen: tuple[bytes | None, float] = (None, 0.0)
        self._after_fork()
        reset_in_child(self)

    def _after_fork(self) -> None:
        # A forked child is somebody else.
        self._holder = uuid4().hex
        self._until = 0.0
        self._lock = RenewedLock()

    @property
    def held(self) -> bool:
        """Whether it is held, as far as is known without asking; never in a forked child."""
        return self._clock() < self._until

    def acquire(self) -> bool:
        """Take it, or renew it; False when another one has it."""
        with self._lock:
            began, cells = self._clock(), self._cells()
            found = cells.get(self._key)
            new = self._value()
            if found is None:
                done = cells.put_if_absent(self._key, new, self._seconds)
            elif self._is_mine(found) or self._is_free(found):
                done = cells.compare_and_set(self._key, found, new, self._seconds)
            else:
                done = False
            self.holder = None if done or found is None else _read(found)[2]
            self._until = began + self._seconds if done else 0.0
            return done

    def renew(self) -> bool:
        """Hold it for longer; False when it was lost: whoever works under it has to stop."""
        with self._lock:
            began, cells = self._clock(), self._cells()
            found = cells.get(self._key)
            done = self._is_mine(found) and cells.compare_and_set(
                self._key, found or b"", self._value(), self._seconds
            )
            self._until = began + self._seconds if done else 0.0
            return done

    def release(self) -> None:
        """Let it go, if it is held."""
        with self._lock:
            self._until, cells = 0.0, self._cells()
            found = cells.get(self._key)
            if found is not None and self._is_mine(found):
                cells.compare_and_delete(self._key, found)

    def _value(self) -> bytes:
        self._turn += 1
        place = this_process()
        where = [place.host, place.pid_namespace, place.pid, place.start_time]
        return json.dumps([self._holder, self._turn, self._seconds, where]).encode("ascii")

    def _is_mine(self, found: bytes | None) -> bool:
        return found is not None and _read(found)[0] == self._holder

    def _is_free(self, found: bytes) -> bool:
        _, seconds, place = _read(found)
        if place is not None and place.is_alive() is False:
            return True
        now = self._clock()
        if self._seen[0] != found:
            self._seen = (found, now)
        return now - self._seen[1] >= (seconds or self._seconds)


def _read(raw: bytes) -> tuple[str, float, ProcessId | None]:
    """Holder, seconds and place; of what is not ours, nothing."""
    try:
        if len(raw) > _LARGEST:
            raise ValueError(f"{len(raw)} bytes")
        holder, _, seconds, (host, pid_namespace, pid, start_time) = json.loads(raw.decode("ascii"))
        if not 0 < int(pid) < 2**31:
            raise ValueError(f"the process id {pid!r}")
        place = ProcessId(str(host), str(pid_namespace), int(pid), int(start_time))
        return str(holder), float(seconds) if 0 < seconds <= _LONGEST else 0.0, place
    except FOREIGN_DATA_ERRORS:
        return "", 0.0, None
