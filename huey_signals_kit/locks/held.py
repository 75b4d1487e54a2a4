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

Mine = tuple[Any, int]
"""By what a lock was taken, and in which thread: by a ``with`` block of that object; else by its
key, as any other object for the same lock may clear it."""

BARE = b""
"""In place of the value of a lock that was taken as Huey does, in nobody's name."""

Taking = tuple[bytes, Store, bool, bool]
"""One lock, taken once: what stands under its key while it lasts, which no other taking writes,
or `BARE`; where; whether a ``with`` block has taken it, whose end will come; whether it has a ttl.

One is made for each taking: anything but a plain tuple takes longer than all the rest.
"""


def _nobody() -> None:
    return None


def key_of(mine: Mine) -> str:
    """Under which key that lock stands."""
    found: str = mine[0] if isinstance(mine[0], str) else mine[0]._key
    return found


class Takings:
    """Of one Huey in this process.

    A thread adds to `held`, and takes out, only what it has taken itself, each in one step: so
    taking a lock and freeing it waits for nobody.
    """

    def __init__(self) -> None:
        self.held: dict[Mine, Taking] = {}  # this very one is kept by who takes locks
        self.desk: Callable[[], Any] = _nobody
        """Gives what takes and frees locks for the kit that is installed, if one is."""
        self.forget()

    def forget(self) -> None:
        """Another process begins, which holds nothing."""
        self.held.clear()
        self.lock = threading.RLock()  # a generator's block may be closed by a collection
        self._empty: dict[Mine, int] = {}
        """How many blocks of that thread are open that have nothing to free any more."""
        self._lost: dict[int, tuple[Taking, Mine, bool]] = {}
        """By identity; and whether it was told."""
        self.unfreed: list[tuple[str, Taking]] = []
        """Those that nobody holds any more, and that the storage would not give back."""
        self.storage: Any = None
        """The shared storage on which this process last acquired a lock."""

    def forget_desk(self) -> None:
        """No kit is installed any more."""
        self.desk = _nobody

    def live(self) -> dict[Mine, Taking]:
        """Those that are not known to be lost."""
        return {mine: each for mine, each in self.held.copy().items() if id(each) not in self._lost}

    def has_bare(self, key: str) -> bool:
        """Whether this process has taken that lock in nobody's name."""
        live = self.live().items()
        return any(key_of(mine) == key and taking[0] == BARE for mine, taking in live)

    def unclaimed(self) -> bool:
        """Whether locks stand in this process's name, and no kit says that it lives."""
        named = (raw for raw, *_ in self.live().values() if raw != BARE)
        return self.desk() is None and (bool(self.unfreed) or any(named))

    def has_shared(self) -> bool:
        """Return whether this process holds named locks that other processes can see."""
        named = [*self.live().values(), *(taking for _, taking in self.unfreed.copy())]
        return any(raw != BARE and not isinstance(store, MemoryStore) for raw, store, *_ in named)

    def end(self, mine: Mine) -> Taking | bool:
        """What a ``with`` block ends that has taken nothing in this thread.

        True if there is nothing to free any more, False if nothing is known of it. Else another
        thread closes what one has opened.
        """
        with self.lock:
            if self.end_empty(mine):
                return True
            lock, thread = mine
            # Whose block it is cannot be told: rather one that has nothing to free.
            empty = next((each for each in list(self._empty) if each[0] is lock), None)
            if empty is not None:
                return self.end_empty(empty)
            found = self._pop(lambda each: each[0] is lock, thread)
            return False if found is None else found[1]

    def end_empty(self, mine: Mine) -> bool:
        """A block ends that has nothing to free any more; whether there was one."""
        with self.lock:
            empty = self._empty.pop(mine, 0)
            if empty > 1:
                self._empty[mine] = empty - 1
            return empty > 0

    def clear(self, key: str, thread: int) -> Taking | None:
        """What ``clear()`` frees: of *thread*, or else of another one of this process."""
        with self.lock:
            found = self._pop(lambda each: key_of(each) == key, thread)
            if found is None:
                return None
            self._leave_empty(*found)
            return found[1]

    def _pop(self, wanted: Callable[[Mine], bool], thread: int) -> tuple[Mine, Taking] | None:
        """The best of those *wanted*: of *thread*, and not lost."""
        found = [(mine, each) for mine, each in self.held.copy().items() if wanted(mine)]
        found.sort(key=lambda item: (item[0][1] != thread, id(item[1]) in self._lost))
        for mine, _ in found:
            taking = self.held.pop(mine, None)
            if taking is not None:
                return mine, taking
        return None

    def replace(self, mine: Mine, taking: Taking) -> Taking | None:
        """That thread could take it again: return what it does not hold any more."""
        with self.lock:
            before = self.held.get(mine)
            self.held[mine] = taking
            if before is not None:
                self._leave_empty(mine, before)
            return before

    def _leave_empty(self, mine: Mine, taking: Taking) -> None:
        if taking[2]:
            self._empty[mine] = self._empty.get(mine, 0) + 1

    def is_lost(self, mine: Mine, taking: Taking) -> bool:
        """Note that it is somebody else's; whether nobody knew, and it is worth telling."""
        with self.lock:
            raw, _, block, expires = taking
            if id(taking) in self._lost:
                return False
            # To let a ttl run out is what one does who never frees it; and without a kit, other
            # objects for the same lock are Huey's and clear it past us.
            told = raw != BARE and (block or (not expires and self.desk() is not None))
            self._lost[id(taking)] = taking, mine, told
            if len(self._lost) > _MOST_LOST:
                self._forget_oldest()
            return told

    def _forget_oldest(self) -> None:
        for identity, (taking, mine, _) in self._lost.copy().items():
            if self.held.get(mine) is not taking:
                del self._lost[identity]
            elif not taking[2]:
                del self._lost[identity]
                del self.held[mine]
                return

    def untold(self, taking: Taking) -> bool:
        """This one is over, and is somebody else's; whether that is still to be told."""
        with self.lock:
            *_, told = self._lost.pop(id(taking), (taking, False))
            return taking[0] != BARE and not told


_takings = PerHuey(Takings)


def _forget_all() -> None:
    for takings in _takings.all():
        takings.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def is_held_here(raw: bytes) -> bool:
    """Whether this process holds the lock that has this value."""
    return any(raw == each[0] for all_of in _takings.all() for each in all_of.held.copy().values())


def takings_of(huey: Any) -> Takings:
    """Those of *huey*; always the same ones."""
    return _takings(huey)
