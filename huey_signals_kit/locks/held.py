"""Record which locks this process holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..runtime.fork import reset_in_child
from ..runtime.per_huey import PerHuey
from ..store import MemoryStore
from ..store.protocol import Store

_MAX_LOST = 10_000

HeldKey = tuple[Any, int]
"""The key of an acquisition in this process: an object, and the id of the thread.

The object is the lock itself if a ``with`` block acquired it. Else it is the stored key, because
``clear()`` may be called on another object for the same lock.
"""

ANONYMOUS = b""
"""In place of the stored value of a lock that was acquired without naming the holder."""

Acquisition = tuple[bytes, Store, bool, bool]
"""One acquisition of a lock: value, store, is_block, has_ttl.

- The stored value, which no other acquisition has, or `ANONYMOUS`.
- The store that has it.
- Whether a ``with`` block acquired it.
- Whether it has a ttl.

Hot path: one is made for each acquisition, and a plain tuple is several times faster to make than
an object with names.
"""


def _no_manager() -> None:
    return None


def key_of(held_key: HeldKey) -> str:
    """Return the stored key of the lock."""
    owner = held_key[0]
    key: str = owner if isinstance(owner, str) else owner._key
    return key


class HeldLocks:
    """The locks of one Huey that this process holds.

    On the usual path a thread adds to `held`, and removes from it, only its own acquisitions, each
    in one step. So acquiring and releasing wait for no other thread.

    Two cases need more than that. A lock can be released while its ``with`` block is still open, by
    ``clear()`` or because the thread acquires the same lock again; the end of that block must then
    release nothing, so the open blocks are counted. And a lock can be lost; each loss is reported
    once, either when the heartbeat detects it or when the holder releases it.
    """

    def __init__(self) -> None:
        # `LockManager` keeps this dict, so it is cleared, never replaced.
        self.held: dict[HeldKey, Acquisition] = {}
        self.manager: Callable[[], Any] = _no_manager
        """Returns the `LockManager` of the installed kit, or None."""
        self.forget()
        reset_in_child(self)

    def forget(self) -> None:
        """Begin with no locks held."""
        self.held.clear()
        # Reentrant: the garbage collector may close a generator with an open block.
        self.lock = threading.RLock()
        self._released_blocks: dict[HeldKey, int] = {}
        """The number of open ``with`` blocks whose lock is already released, by thread."""
        self._lost: dict[int, tuple[Acquisition, HeldKey, bool]] = {}
        """Lost acquisitions by identity, and whether the loss was reported."""
        self.failed_releases: list[tuple[str, Acquisition]] = []
        """Locks that a block has left, but that the storage failed to delete."""
        self.storage: Any = None
        """The shared storage on which this process last acquired a lock."""

    _after_fork = forget

    def forget_manager(self) -> None:
        """Record that no kit is installed."""
        self.manager = _no_manager

    def live(self) -> dict[HeldKey, Acquisition]:
        """Return the acquisitions that are not known to be lost."""
        return {
            held_key: acquisition
            for held_key, acquisition in self.held.copy().items()
            if id(acquisition) not in self._lost
        }

    def has_anonymous(self, key: str) -> bool:
        """Return whether this process holds the lock without being named in its value."""
        return any(
            key_of(held_key) == key and acquisition[0] == ANONYMOUS
            for held_key, acquisition in self.live().items()
        )

    def needs_heartbeat(self) -> bool:
        """Return whether stored locks name this process while no kit is installed."""
        named = (raw for raw, *_ in self.live().values() if raw != ANONYMOUS)
        return self.manager() is None and (bool(self.failed_releases) or any(named))

    def has_shared(self) -> bool:
        """Return whether this process holds named locks that other processes can see."""
        acquisitions = [
            *self.live().values(),
            *(acquisition for _, acquisition in self.failed_releases.copy()),
        ]
        return any(
            raw != ANONYMOUS and not isinstance(store, MemoryStore)
            for raw, store, *_ in acquisitions
        )

    def exit_block(self, held_key: HeldKey) -> Acquisition | bool:
        """Handle the end of a ``with`` block that this thread did not enter.

        Return True if the lock is already released, False if it is unknown, else the acquisition
        of the thread that entered the block.
        """
        with self.lock:
            if self.exit_released_block(held_key):
                return True
            lock, thread_id = held_key
            # Several threads may have open blocks of this lock, and which one ends is unknown.
            # Prefer one whose lock is released: then no lock of a running block is released.
            released = next((key for key in list(self._released_blocks) if key[0] is lock), None)
            if released is not None:
                return self.exit_released_block(released)
            entry = self._pop(lambda key: key[0] is lock, thread_id)
            return False if entry is None else entry[1]

    def exit_released_block(self, held_key: HeldKey) -> bool:
        """Count the end of a block whose lock is released; return whether there was one."""
        with self.lock:
            count = self._released_blocks.pop(held_key, 0)
            if count > 1:
                self._released_blocks[held_key] = count - 1
            return count > 0

    def release(self, key: str, thread_id: int) -> Acquisition | None:
        """Remove and return the acquisition that ``clear()`` releases, or None.

        Args:
            key: The stored key of the lock.
            thread_id: The thread whose acquisition is preferred to that of others.
        """
        with self.lock:
            entry = self._pop(lambda held_key: key_of(held_key) == key, thread_id)
            if entry is None:
                return None
            self._remember_released_block(*entry)
            return entry[1]

    def _pop(
        self, matches: Callable[[HeldKey], bool], thread_id: int
    ) -> tuple[HeldKey, Acquisition] | None:
        """Remove a matching acquisition: of this thread and not lost, if there is one."""
        entries = [(key, value) for key, value in self.held.copy().items() if matches(key)]
        entries.sort(key=lambda entry: (entry[0][1] != thread_id, id(entry[1]) in self._lost))
        for held_key, _ in entries:
            acquisition = self.held.pop(held_key, None)
            if acquisition is not None:
                return held_key, acquisition
        return None

    def replace(self, held_key: HeldKey, acquisition: Acquisition) -> Acquisition | None:
        """Record an acquisition of a lock that this thread already holds; return the earlier one.

        That the lock could be acquired again proves that the earlier acquisition is over.
        """
        with self.lock:
            before = self.held.get(held_key)
            self.held[held_key] = acquisition
            if before is not None:
                self._remember_released_block(held_key, before)
            return before

    def _remember_released_block(self, held_key: HeldKey, acquisition: Acquisition) -> None:
        _, _, is_block, _ = acquisition
        if is_block:
            self._released_blocks[held_key] = self._released_blocks.get(held_key, 0) + 1

    def mark_lost(self, held_key: HeldKey, acquisition: Acquisition) -> bool:
        """Record that an acquisition is lost; return whether to report it.

        It is reported once, and only if it is unexpected. A lock with a ttl that is never released
        is meant to expire. And while no kit is installed, other lock objects are Huey's own and
        clear a lock without this process noticing.
        """
        with self.lock:
            raw, _, is_block, has_ttl = acquisition
            if id(acquisition) in self._lost:
                return False
            is_unexpected = raw != ANONYMOUS and (
                is_block or (not has_ttl and self.manager() is not None)
            )
            self._lost[id(acquisition)] = acquisition, held_key, is_unexpected
            if len(self._lost) > _MAX_LOST:
                self._forget_oldest_lost()
            return is_unexpected

    def _forget_oldest_lost(self) -> None:
        for identity, (acquisition, held_key, _) in self._lost.copy().items():
            if self.held.get(held_key) is not acquisition:
                del self._lost[identity]
            elif not acquisition[2]:
                del self._lost[identity]
                del self.held[held_key]
                return

    def should_report_lost(self, acquisition: Acquisition) -> bool:
        """Forget a lost acquisition that has ended; return whether the loss is still unreported."""
        with self.lock:
            *_, was_reported = self._lost.pop(id(acquisition), (acquisition, False))
            return acquisition[0] != ANONYMOUS and not was_reported


_held_locks = PerHuey(HeldLocks)


def is_held_here(raw: bytes) -> bool:
    """Return whether this process holds the lock whose stored value is `raw`."""
    return any(
        raw == acquisition[0]
        for held_locks in _held_locks.all()
        for acquisition in held_locks.held.copy().values()
    )


def held_locks_of(huey: Any) -> HeldLocks:
    """Return the locks of `huey` that this process holds; always the same object."""
    return _held_locks(huey)
