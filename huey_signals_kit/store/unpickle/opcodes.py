"""The instructions of pickles, by the byte that stands for each, in every protocol.

An instruction is a function that changes a `Machine`. The names and comments in capitals are those
of Python's module `pickletools`.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import getsizeof
from typing import Any

from . import literals
from .literals import Instruction
from .machine import MAX_MARKS, Machine, build, call_by_name
from .types import Opaque, StoredMessage, Unreadable, lookup, validate_hashing

_OPAQUE_SIZE = 128
"""Bytes of an `Opaque` and its name."""


def _constant(value: Any) -> Instruction:
    """Return the instruction that pushes a constant."""
    return lambda machine: machine.stack.append(value)


def _new_container(cls: Callable[[], Any]) -> Instruction:
    """Return the instruction that pushes an empty container."""
    size = getsizeof(cls())

    def instruction(machine: Machine) -> None:
        machine.allocate(size)
        machine.stack.append(cls())

    return instruction


def _mark(machine: Machine) -> None:
    """Set a mark: what is pushed from now on goes to a new stack."""
    if len(machine.marked_stacks) >= MAX_MARKS:
        raise Unreadable(f"a pickle with more than {MAX_MARKS:,} marks at one time")
    machine.marked_stacks.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine) -> None:
    """Discard the top of the stack, or the last mark if nothing is above it."""
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


def _duplicate(machine: Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _put(index: Callable[[Machine], int]) -> Instruction:
    """Return the instruction that memoizes the top of the stack under a number."""

    def instruction(machine: Machine) -> None:
        machine.memoize(index(machine))

    return instruction


def _get(index: Callable[[Machine], int]) -> Instruction:
    """Return the instruction that pushes a memoized value."""
    return lambda machine: machine.stack.append(machine.memoized(index(machine)))


def _index(size: int) -> Callable[[Machine], int]:
    return lambda machine: machine.read_int(size)


def _index_line(machine: Machine) -> int:
    return int(machine.read_line())


def _tuple(size: int) -> Instruction:
    """Return the instruction that makes a tuple of the last `size` values."""
    tuple_size = getsizeof((None,) * size)

    def instruction(machine: Machine) -> None:
        stack = machine.stack
        if len(stack) < size:
            raise Unreadable("a pickle that takes more from the stack than there is")
        machine.allocate(tuple_size)
        stack[-size:] = [tuple(stack[-size:])]

    return instruction


def _from_mark(cls: Callable[[Any], Any]) -> Instruction:
    """Return the instruction that makes a container of all values above the last mark."""

    def instruction(machine: Machine) -> None:
        container = cls(machine.pop_mark())
        machine.allocate(getsizeof(container))
        machine.stack.append(container)

    return instruction


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(validate_hashing(items[::2]), items[1::2], strict=True))


def _frozen(items: list[Any]) -> frozenset[Any]:
    return frozenset(validate_hashing(items))


def _extend(machine: Machine, cls: Any, items: list[Any]) -> None:
    """Add items to the container on top of the stack, which must be of class `cls`."""
    container: Any = machine.stack[-1]
    if isinstance(container, Opaque):
        return
    if type(container) is not cls:
        raise Unreadable(f"a pickle that adds to a {type(container).__name__}")
    size = getsizeof(container)
    if cls is list:
        container.extend(items)
    elif cls is set:
        container.update(validate_hashing(items))
    else:
        container.update(_dict_of(items))
    machine.allocate(getsizeof(container) - size)


def _append(machine: Machine) -> None:
    item = machine.stack.pop()
    _extend(machine, list, [item])


def _appends(machine: Machine) -> None:
    items = machine.pop_mark()
    _extend(machine, list, items)


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _extend(machine, dict, [key, value])


def _set_items(machine: Machine) -> None:
    items = machine.pop_mark()
    _extend(machine, dict, items)


def _add_items(machine: Machine) -> None:
    items = machine.pop_mark()
    _extend(machine, set, items)


def _global(machine: Machine) -> None:
    module, name = machine.read_line().decode(), machine.read_line().decode()
    machine.stack.append(lookup(module, name))


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise Unreadable("a pickle that names a class with something other than text")
    machine.stack.append(lookup(module, name))


def _reduce(machine: Machine) -> None:
    """Pop arguments and a function or class, and push what it returns for them."""
    args, function = machine.stack.pop(), machine.stack.pop()
    machine.call(function, args)


def _new_with_names(machine: Machine) -> None:
    """Pop keyword arguments, arguments and a class, and push an instance."""
    kwargs, args, cls = (machine.stack.pop() for _ in range(3))
    call_by_name(machine, "copyreg", "__newobj_ex__", (cls, args, kwargs))


def _instance(machine: Machine) -> None:
    """Push an instance of a class named in two lines, for the arguments above the mark."""
    module, name = machine.read_line().decode(), machine.read_line().decode()
    args = tuple(machine.pop_mark())
    call_by_name(machine, module, name, args)


def _object(machine: Machine) -> None:
    """Push an instance; the class and its arguments are above the mark."""
    cls, *args = machine.pop_mark()
    machine.call(cls, tuple(args))


def _opaque(machine: Machine, module: str, name: str) -> Opaque:
    """Return a placeholder for something that only a registry of the program could resolve."""
    machine.allocate(_OPAQUE_SIZE)
    return Opaque(module, name)


def _extension(size: int) -> Instruction:
    return lambda machine: machine.stack.append(
        _opaque(machine, "copyreg", f"extension {machine.read_int(size)}")
    )


def _persistent_line(machine: Machine) -> None:
    machine.read_line()
    machine.stack.append(_opaque(machine, "pickle", "persistent_id"))


def _persistent(machine: Machine) -> None:
    machine.stack[-1] = _opaque(machine, "pickle", "persistent_id")


def _protocol(machine: Machine) -> None:
    if machine.read_int(1) > 5:
        raise Unreadable("a pickle of an unknown protocol")


def _frame(machine: Machine) -> None:
    """Check the length of a frame; frames matter only to readers of streams."""
    size = machine.read_int(8)
    if machine.position + size > len(machine.data):
        raise Unreadable("a pickle that was cut off")


def _reject(machine: Machine) -> None:
    code = machine.data[machine.position - 1]
    raise Unreadable(f"a pickle with the instruction {code:#04x}, which Huey never writes")


_TEXT_INSTRUCTIONS: dict[str, Instruction] = {
    "(": _mark, "0": _pop, "1": Machine.pop_mark, "2": _duplicate,  # MARK POP POP_MARK DUP
    "F": literals.float_line, "I": literals.int_line, "L": literals.long_line,  # FLOAT INT LONG
    "J": literals.fixed_number("<i"), "K": literals.fixed_number("<B"),  # BININT BININT1
    "M": literals.fixed_number("<H"), "G": literals.fixed_number(">d"),  # BININT2 BINFLOAT
    "V": literals.unicode_line, "X": literals.text(4),  # UNICODE BINUNICODE
    "B": literals.blob(4), "C": literals.blob(1),  # BINBYTES SHORT_BINBYTES
    "S": literals.python_2_line,  # STRING
    "T": literals.python_2_text(4), "U": literals.python_2_text(1),  # BINSTRING SHORT_BINSTRING
    "P": _persistent_line, "Q": _persistent,  # PERSID BINPERSID
    "c": _global, "i": _instance, "o": _object, "R": _reduce, "b": build,  # GLOBAL INST OBJ ...
    "a": _append, "e": _appends, "s": _set_item, "u": _set_items,  # APPEND APPENDS SETITEM ...
    "d": _from_mark(_dict_of), "l": _from_mark(list), "t": _from_mark(tuple),  # DICT LIST TUPLE
    "}": _new_container(dict), "]": _new_container(list), ")": _constant(()),  # EMPTY_DICT ...
    "g": _get(_index_line), "h": _get(_index(1)), "j": _get(_index(4)),  # GET BINGET LONG_BINGET
    "p": _put(_index_line), "q": _put(_index(1)), "r": _put(_index(4)),  # PUT BINPUT LONG_BINPUT
}  # fmt: skip
# From 0x80 on. NEWOBJ has the operands of REDUCE. `Machine.run` executes NONE, STOP and MEMOIZE
# (0x94, `_reject` here) itself.
_BINARY_INSTRUCTIONS: list[Instruction] = [
    _protocol, _reduce, _extension(1), _extension(2), _extension(4),  # PROTO NEWOBJ EXT1 ...
    _tuple(1), _tuple(2), _tuple(3), _constant(True), _constant(False),  # TUPLE1 ... NEWTRUE ...
    literals.integer(1), literals.integer(4),  # LONG1 LONG4
    literals.short_text, literals.text(8), literals.blob(8),  # SHORT_BINUNICODE BINUNICODE8 ...
    _new_container(set), _add_items, _from_mark(_frozen),  # EMPTY_SET ADDITEMS FROZENSET
    _new_with_names, _stack_global, _reject, _frame,  # NEWOBJ_EX STACK_GLOBAL MEMOIZE FRAME
    literals.blob(8, bytearray),  # BYTEARRAY8
]  # fmt: skip

INSTRUCTIONS: list[Instruction] = [_reject] * 256
for _character, _instruction in _TEXT_INSTRUCTIONS.items():
    INSTRUCTIONS[ord(_character)] = _instruction
INSTRUCTIONS[0x80 : 0x80 + len(_BINARY_INSTRUCTIONS)] = _BINARY_INSTRUCTIONS


def load(data: bytes) -> tuple[Any, list[StoredMessage]]:
    """Return the value of a pickle, and every message of Huey's in it, at any depth.

    Raises:
        Unreadable: The pickle is broken, or exceeds a bound.
    """
    machine = Machine(data)
    return machine.run(INSTRUCTIONS), machine.messages
