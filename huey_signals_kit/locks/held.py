"""The locks that this process holds, as a kit notes them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from ..runtime.per_huey import PerHuey
from ..store import MemoryStore
from ..store.protocol import Store

_MOST_LOST = 10_000

HeldKey = tuple[Any, int]
"""By what a lock was taken, and in which thread: by a ``with`` block of that object; else by its
key, as any other object for the same lock may clear it."""

ANONYMOUS = b""
"""In place of the value of a lock that was taken as Huey does, in nobody's name."""

Acquisition = tuple[bytes, Store, bool, bool]
"""One lock, taken once: what stands under its key while it lasts, which no other acquisition
writes, or `ANONYMOUS`; where; whether a ``with`` block has acquired it; whether it has a ttl.

One is made for each taking: anything but a plain tuple takes longer than all the rest.
"""


def _nobody() -> None:
    return None


def key_of(mine: HeldKey) -> str:
    """Under which key that lock stands."""
    found: str = mine[0] if isinstance(mine[0], str) else mine[0]._key
    return found


class HeldLocks:
    """Of one Huey in this process.

    A thread adds to `held`, and takes out, only what it has taken itself, each in one step: so
    taking a lock and freeing it waits for nobody.
    """

    def __init__(self) -> None:
        self.held: dict[HeldKey, Acquisition] = {}  # this very one is kept by who takes locks
        self.manager: Callable[[], Any] = _nobody
        """Gives what takes and frees locks for the kit that is installed, if one is."""
        self.forget()

    def forget(self) -> None:
        """Another process begins, which holds nothing."""
        self.held.clear()
        self.lock = threading.RLock()  # a generator's block may be closed by a collection
        self._released_blocks: dict[HeldKey, int] = {}
        """How many blocks of that thread are open that have nothing to free any more."""
        self._lost: dict[int, tuple[Acquisition, HeldKey, bool]] = {}
        """By identity; and whether it was told."""
        self.failed_releases: list[tuple[str, Acquisition]] = []
        """Those that nobody holds any more, and that the storage would not give back."""
        self.storage: Any = None
        """The shared storage on which this process last acquired a lock."""

    def forget_manager(self) -> None:
        """No kit is installed any more."""
        self.manager = _nobody

    def live(self) -> dict[HeldKey, Acquisition]:
        """Those that are not known to be lost."""
        return {mine: each for mine, each in self.held.copy().items() if id(each) not in self._lost}

    def has_anonymous(self, key: str) -> bool:
        """Whether this process has taken that lock in nobody's name."""
        live = self.live().items()
        return any(
            key_of(mine) == key and acquisition[0] == ANONYMOUS for mine, acquisition in live
        )

    def needs_heartbeat(self) -> bool:
        """Whether locks stand in this process's name, and no kit says that it lives."""
        named = (raw for raw, *_ in self.live().values() if raw != ANONYMOUS)
        return self.manager() is None and (bool(self.failed_releases) or any(named))

    def has_shared(self) -> bool:
        """Return whether this process holds named locks that other processes can see."""
        named = [
            *self.live().values(),
            *(acquisition for _, acquisition in self.failed_releases.copy()),
        ]
        return any(
            raw != ANONYMOUS and not isinstance(store, MemoryStore) for raw, store, *_ in named
        )

    def exit_block(self, mine: HeldKey) -> Acquisition | bool:
        """What a ``with`` block ends that has taken nothing in this thread.

        True if there is nothing to free any more, False if nothing is known of it. Else another
        thread closes what one has opened.
        """
        with self.lock:
            if self.exit_released_block(mine):
                return True
            lock, thread = mine
            # Whose block it is cannot be told: rather one that has nothing to free.
            empty = next((each for each in list(self._released_blocks) if each[0] is lock), None)
            if empty is not None:
                return self.exit_released_block(empty)
            found = self._pop(lambda each: each[0] is lock, thread)
            return False if found is None else found[1]

    def exit_released_block(self, mine: HeldKey) -> bool:
        """A block ends that has nothing to free any more; whether there was one."""
        with self.lock:
            empty = self._released_blocks.pop(mine, 0)
            if empty > 1:
                self._released_blocks[mine] = empty - 1
            return empty > 0

    def release(self, key: str, thread: int) -> Acquisition | None:
        """What ``clear()`` frees: of *thread*, or else of another one of this process."""
        with self.lock:
            found = self._pop(lambda each: key_of(each) == key, thread)
            if found is None:
                return None
            self._remember_released_block(*found)
            return found[1]

    def _pop(
        self, wanted: Callable[[HeldKey], bool], thread: int
    ) -> tuple[HeldKey, Acquisition] | None:
        """The best of those *wanted*: of *thread*, and not lost."""
        found = [(mine, each) for mine, each in self.held.copy().items() if wanted(mine)]
        found.sort(key=lambda item: (item[0][1] != thread, id(item[1]) in self._lost))
        for mine, _ in found:
            acquisition = self.held.pop(mine, None)
            if acquisition is not None:
                return mine, acquisition
        return None

    def replace(self, mine: HeldKey, acquisition: Acquisition) -> Acquisition | None:
        """That thread could take it again: return what it does not hold any more."""
        with self.lock:
            before = self.held.get(mine)
            self.held[mine] = acquisition
            if before is not None:
                self._remember_released_block(mine, before)
            return before

    def _remember_released_block(self, mine: HeldKey, acquisition: Acquisition) -> None:
        if acquisition[2]:
            self._released_blocks[mine] = self._released_blocks.get(mine, 0) + 1

    def mark_lost(self, mine: HeldKey, acquisition: Acquisition) -> bool:
        """Note that it is somebody else's; whether nobody knew, and it is worth telling."""
        with self.lock:
            raw, _, block, expires = acquisition
            if id(acquisition) in self._lost:
                return False
            # To let a ttl run out is what one does who never frees it; and without a kit, other
            # objects for the same lock are Huey's and clear it past us.
            is_unexpected = raw != ANONYMOUS and (
                block or (not expires and self.manager() is not None)
            )
            self._lost[id(acquisition)] = acquisition, mine, is_unexpected
            if len(self._lost) > _MOST_LOST:
                self._forget_oldest()
            return is_unexpected

    def _forget_oldest(self) -> None:
        for identity, (acquisition, mine, _) in self._lost.copy().items():
            if self.held.get(mine) is not acquisition:
                del self._lost[identity]
            elif not acquisition[2]:
                del self._lost[identity]
                del self.held[mine]
                return

    def should_report_lost(self, acquisition: Acquisition) -> bool:
        """This one is over, and is somebody else's; whether that is still to be told."""
        with self.lock:
            *_, was_reported = self._lost.pop(id(acquisition), (acquisition, False))
            return acquisition[0] != ANONYMOUS and not was_reported


_held_locks = PerHuey(HeldLocks)


def _forget_all() -> None:
    for held_locks in _held_locks.all():
        held_locks.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def is_held_here(raw: bytes) -> bool:
    """Whether this process holds the lock that has this value."""
    return any(
        raw == each[0] for all_of in _held_locks.all() for each in all_of.held.copy().values()
    )


def held_locks_of(huey: Any) -> HeldLocks:
    """Those of *huey*; always the same ones."""
    return _held_locks(huey)
