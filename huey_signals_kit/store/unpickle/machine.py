"""Reads pickles of every protocol without calling anything that they name.

An interpreter of its own, as everything that Python's can call, import, or spend without bound
has to be another here: a name becomes a known maker or a placeholder (`_known`), and so does an
extension or a persistent id. Of Python's own, only the names could be decided.
"""

from __future__ import annotations

from itertools import chain
from sys import getsizeof
from typing import Any

from huey.utils import Error

from .types import Constructor, Opaque, StoredMessage, Unreadable, build, named, unwrapped

ROOM = 32 * 1024 * 1024
FACTOR = 24
MOST_ROOM = 320 * 1024 * 1024
"""Bytes that the containers of one pickle may take: the first, and `FACTOR` times its size more,
up to the last. (Numbers and texts take less than 16 times what stands for them there.)"""

MARKS = 10_000
"""Marks that are set at one time: each level of what is nested has a few."""

DEPTH = 1_000
"""How deep values may be nested: a pipeline of that many stages is."""

# Half of all instructions: here, they take half the time.
_STOP, _NONE, _MEMOIZE = ord("."), ord("N"), 0x94

_TOO_MUCH = "a pickle that would become many times its size"
_HEIGHT = 140
"""Bytes to remember how high one container is."""
_FEW = 8
_CONTAINERS = frozenset({list, tuple, set, frozenset, dict, StoredMessage, Error})


class Machine:
    """The state of reading one pickle."""

    __slots__ = ("_far", "_memo", "_room", "data", "marked", "messages", "pos", "stack")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        """The stacks below each mark that was set."""
        # What was noted, by number; in a dict only what is far from all others.
        self._memo: list[Any] = []
        self._far: dict[int, Any] = {}
        self.messages: list[StoredMessage] = []
        """Every message of Huey's that stands in it, at any depth."""
        self._room = min(ROOM + FACTOR * len(data), MOST_ROOM)

    def run(self, ops: list[Any]) -> Any:
        """The value; *ops* is what each byte does."""
        data, memo, far = self.data, self._memo, self._far
        try:
            while True:
                code = data[self.pos]
                self.pos += 1
                if code == _MEMOIZE:
                    if far:
                        raise Unreadable("a pickle that notes things in two ways")
                    memo.append(self.stack[-1])
                elif code == _NONE:
                    self.stack.append(None)
                elif code == _STOP:
                    break
                else:
                    ops[code](self)
            value = self.stack.pop()
        except Unreadable:
            raise
        except Exception as exc:
            raise Unreadable(f"no whole pickle ({type(exc).__name__}: {exc})"[:200]) from None
        if self.pos > DEPTH and _is_deep(value, self._room // _HEIGHT):
            raise Unreadable(f"values nested more than {DEPTH:,} deep")
        return value

    def note(self, number: int) -> None:
        """Keep what is on top of the stack as that *number*."""
        if number == len(self._memo):
            self._memo.append(self.stack[-1])
        elif 0 <= number < len(self._memo):
            self._memo[number] = self.stack[-1]
        else:
            self._far[number] = self.stack[-1]

    def noted(self, number: int) -> Any:
        """What was kept as that."""
        return self._memo[number] if 0 <= number < len(self._memo) else self._far[number]

    def spend(self, size: int) -> None:
        """Something takes *size* bytes more."""
        self._room -= size
        if self._room < 0:
            raise Unreadable(_TOO_MUCH)

    def take(self, size: int) -> bytes:
        """The next *size* bytes."""
        start, end = self.pos, self.pos + size
        if not start <= end <= len(self.data):
            raise Unreadable("a pickle that was cut off")
        self.pos = end
        return self.data[start:end]

    def number(self, size: int) -> int:
        """The next *size* bytes, as a length or an index."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> bytes:
        """Until the next newline."""
        start, self.pos = self.pos, self.data.index(b"\n", self.pos) + 1
        return self.data[start : self.pos - 1]

    def to_mark(self) -> list[Any]:
        """All that was put on the stack since the last mark."""
        items, self.stack = self.stack, self.marked.pop()
        return items

    def call(self, function: Any, args: Any) -> None:
        """Put what *function*, which the pickle named, makes of *args*: or a placeholder."""
        function, args = unwrapped(function, args)
        if not isinstance(function, Opaque) or type(args) is not tuple:
            raise Unreadable("a pickle that calls what is no class and no function")
        made: Any = Opaque(function.module, function.name)
        if type(function) is Constructor:
            # What may be copied: a pickle can name one long text many times.
            self.spend(sum(len(each) for each in args if hasattr(each, "__len__")))
            try:
                made = function.make(*args)
            except Unreadable:
                raise
            except Exception:  # arguments of another version, or that are placeholders
                pass
            else:
                if type(made) is StoredMessage:
                    self.messages.append(made)
        self.spend(getsizeof(made))
        self.stack.append(made)


def call_named(machine: Machine, module: Any, name: Any, args: Any) -> None:
    """Call what has that name."""
    machine.call(named(module, name), args)


def build_top(machine: Machine) -> None:
    """Give what is on top but one the state that is on top."""
    state = machine.stack.pop()
    build(machine.stack[-1], state)


def _is_deep(value: Any, most: int) -> bool:
    # Each container once, its height when all in it are known; of a cycle, one round.
    heights: dict[int, int] = {}
    path: list[tuple[int, Any]] = []
    best: list[int] = []
    step = _inside(value)
    if step is None:
        return False
    path.append((id(value), step))
    heights[id(value)] = 0
    best.append(0)
    while path:
        if len(path) > DEPTH:
            return True
        for child in path[-1][1]:
            inside = _inside(child)
            if inside is None:
                continue
            known = heights.get(id(child))
            if known is None:
                heights[id(child)] = 0
                if len(heights) > most:
                    raise Unreadable(_TOO_MUCH)
                path.append((id(child), inside))
                best.append(0)
                break
            best[-1] = max(best[-1], known)
            if len(path) + known > DEPTH:
                return True
        else:
            done, height = path.pop()[0], best.pop() + 1
            heights[done] = height
            if best:
                best[-1] = max(best[-1], height)
    return False


def _inside(value: Any) -> Any:
    """What is in a container; None if that is little, with no container among it."""
    if isinstance(value, dict):
        parts = chain(value, value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts = chain(value)
    else:
        return None
    if len(value) > _FEW:
        return parts
    found = list(parts)
    return None if _CONTAINERS.isdisjoint(map(type, found)) else iter(found)
