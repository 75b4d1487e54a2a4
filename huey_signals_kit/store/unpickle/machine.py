"""The state of reading one pickle, and the bounds that keep a hostile one harmless.

The bounds are for memory (`Machine.allocate`), for marks, and for nesting. Nesting is measured at
the end, on the whole value (`_is_deep`), because a pickle can put containers into each other in any
order. It matters because comparing, hashing, printing or deleting a deeply nested value later
recurses in C.
"""

from __future__ import annotations

from itertools import chain
from sys import getsizeof
from typing import Any

from huey.utils import Error

from .types import Constructor, Opaque, StoredMessage, Unreadable, lookup, set_state, unwrap_call

BASE_MEMORY = 32 * 1024 * 1024
MEMORY_FACTOR = 24
MAX_MEMORY = 320 * 1024 * 1024
"""Bytes that the containers of one pickle may take: `BASE_MEMORY` and `MEMORY_FACTOR` times its
size, at most `MAX_MEMORY`. Numbers and texts are not counted, as they take less than 16 times
their size in the pickle."""

MAX_MARKS = 10_000
"""Marks that may be set at one time; each level of nesting needs a few."""

MAX_LEVELS = 1_000
"""The deepest nesting of values; a pipeline of 1,000 stages has as many levels."""

_STOP, _NONE, _MEMOIZE = ord("."), ord("N"), 0x94
"""Instructions that `Machine.run` executes itself, for speed: half of all that a message has."""

_TOO_LARGE = "a pickle that would become many times its size"
_HEIGHT_SIZE = 140
"""Bytes that `_is_deep` needs for each container."""
_FEW = 8
_CONTAINERS = frozenset({list, tuple, set, frozenset, dict, StoredMessage, Error})


class Machine:
    """The interpreter's state: the data and the position in it, the stack, the marks, the memo.

    Protocol 4 numbers memoized values in order; earlier protocols number them explicitly. So the
    memo is a list, and a dictionary takes the numbers that do not continue it.
    """

    __slots__ = (
        "_memo",
        "_memory_left",
        "_sparse_memo",
        "data",
        "marked_stacks",
        "messages",
        "position",
        "stack",
    )

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.stack: list[Any] = []
        self.marked_stacks: list[list[Any]] = []
        """For each mark that is set, the stack below it."""
        self._memo: list[Any] = []
        self._sparse_memo: dict[int, Any] = {}
        self.messages: list[StoredMessage] = []
        """Every message of Huey's in the pickle, at any depth."""
        self._memory_left = min(BASE_MEMORY + MEMORY_FACTOR * len(data), MAX_MEMORY)

    def run(self, instructions: list[Any]) -> Any:
        """Return the value of the pickle.

        Args:
            instructions: The function for each of the 256 possible bytes.

        Raises:
            Unreadable: The pickle is broken, or exceeds a bound.
        """
        data, memo, sparse_memo = self.data, self._memo, self._sparse_memo
        try:
            while True:
                code = data[self.position]
                self.position += 1
                if code == _MEMOIZE:
                    if sparse_memo:
                        raise Unreadable("a pickle that numbers its memo in two ways")
                    memo.append(self.stack[-1])
                elif code == _NONE:
                    self.stack.append(None)
                elif code == _STOP:
                    break
                else:
                    instructions[code](self)
            value = self.stack.pop()
        except Unreadable:
            raise
        except Exception as exc:
            raise Unreadable(f"a broken pickle ({type(exc).__name__}: {exc})"[:200]) from None
        if self.position > MAX_LEVELS and _is_deep(value, self._memory_left // _HEIGHT_SIZE):
            raise Unreadable(f"values nested more than {MAX_LEVELS:,} deep")
        return value

    def memoize(self, number: int) -> None:
        """Store the top of the stack in the memo under this number."""
        if number == len(self._memo):
            self._memo.append(self.stack[-1])
        elif 0 <= number < len(self._memo):
            self._memo[number] = self.stack[-1]
        else:
            self._sparse_memo[number] = self.stack[-1]

    def memoized(self, number: int) -> Any:
        """Return the value in the memo under this number."""
        return self._memo[number] if 0 <= number < len(self._memo) else self._sparse_memo[number]

    def allocate(self, size: int) -> None:
        """Account for `size` bytes more; raise `Unreadable` if that is too much."""
        self._memory_left -= size
        if self._memory_left < 0:
            raise Unreadable(_TOO_LARGE)

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        start, end = self.position, self.position + size
        if not start <= end <= len(self.data):
            raise Unreadable("a pickle that was cut off")
        self.position = end
        return self.data[start:end]

    def read_int(self, size: int) -> int:
        """Return the next `size` bytes as an unsigned integer."""
        return int.from_bytes(self.read(size), "little")

    def read_line(self) -> bytes:
        """Return the bytes up to the next newline."""
        start, self.position = self.position, self.data.index(b"\n", self.position) + 1
        return self.data[start : self.position - 1]

    def pop_mark(self) -> list[Any]:
        """Remove the last mark and everything above it; return the latter."""
        items, self.stack = self.stack, self.marked_stacks.pop()
        return items

    def call(self, function: Any, args: Any) -> None:
        """Push what a function or class returns for `args`: an `Opaque` if it is not known.

        Args:
            function: A `Constructor`, or an `Opaque` for any other function.
            args: A tuple of arguments.
        """
        function, args = unwrap_call(function, args)
        if not isinstance(function, Opaque) or type(args) is not tuple:
            raise Unreadable("a pickle that calls something other than a class or a function")
        value: Any = Opaque(function.module, function.name)
        if type(function) is Constructor:
            # The constructor may copy its arguments, and a pickle can pass one long text often.
            self.allocate(sum(len(arg) for arg in args if hasattr(arg, "__len__")))
            try:
                value = function.construct(*args)
            except Unreadable:
                raise
            except Exception:  # arguments of another version, or opaque ones
                pass
            else:
                if type(value) is StoredMessage:
                    self.messages.append(value)
        self.allocate(getsizeof(value))
        self.stack.append(value)


def call_by_name(machine: Machine, module: Any, name: Any, args: Any) -> None:
    """Push what the function or class with this name returns for `args`."""
    machine.call(lookup(module, name), args)


def build(machine: Machine) -> None:
    """Pop a state, and give it to the value below it."""
    state = machine.stack.pop()
    set_state(machine.stack[-1], state)


def _is_deep(value: Any, max_containers: int) -> bool:
    """Return whether a value is nested more than `MAX_LEVELS` deep.

    A recursion would overflow, and values that are shared would be visited again and again. So this
    is a depth-first search with its own stack, which visits each container once and remembers its
    height; in a cycle, a container on the current path counts as height 0.
    """
    heights: dict[int, int] = {}
    path: list[tuple[int, Any]] = []
    path_heights: list[int] = []
    children = _children(value)
    if children is None:
        return False
    path.append((id(value), children))
    heights[id(value)] = 0
    path_heights.append(0)
    while path:
        if len(path) > MAX_LEVELS:
            return True
        _, children = path[-1]
        for child in children:
            grandchildren = _children(child)
            if grandchildren is None:
                continue
            height = heights.get(id(child))
            if height is None:
                heights[id(child)] = 0
                if len(heights) > max_containers:
                    raise Unreadable(_TOO_LARGE)
                path.append((id(child), grandchildren))
                path_heights.append(0)
                break
            path_heights[-1] = max(path_heights[-1], height)
            if len(path) + height > MAX_LEVELS:
                return True
        else:  # all children are visited
            container_id, _ = path.pop()
            height = path_heights.pop() + 1
            heights[container_id] = height
            if path_heights:
                path_heights[-1] = max(path_heights[-1], height)
    return False


def _children(value: Any) -> Any:
    """Return an iterator over a container; None if it has few parts and no container among them."""
    if isinstance(value, dict):
        parts = chain(value, value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts = chain(value)
    else:
        return None
    if len(value) > _FEW:
        return parts
    few = list(parts)
    return None if _CONTAINERS.isdisjoint(map(type, few)) else iter(few)
