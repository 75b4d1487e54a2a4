"""What each byte of a pickle does to a `Machine`."""

from __future__ import annotations

from collections.abc import Callable
from sys import getsizeof
from typing import Any

from . import literals as values
from .machine import MARKS, Machine, build_top, call_named
from .types import Opaque, StoredMessage, Unreadable, keys, named

Op = Callable[[Machine], Any]

_FOREIGN = 128
"""Bytes of a placeholder and of its name."""


def _constant(value: Any) -> Op:
    return lambda machine: machine.stack.append(value)


def _fresh(cls: Callable[[], Any]) -> Op:
    size = getsizeof(cls())

    def op(machine: Machine) -> None:
        machine.spend(size)
        machine.stack.append(cls())

    return op


def _mark(machine: Machine) -> None:
    if len(machine.marked) >= MARKS:
        raise Unreadable(f"a pickle with more than {MARKS:,} marks at one time")
    machine.marked.append(machine.stack)
    machine.stack = []


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.to_mark()


def _duplicate(machine: Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _put(index: Callable[[Machine], int]) -> Op:
    def op(machine: Machine) -> None:
        machine.note(index(machine))

    return op


def _get(index: Callable[[Machine], int]) -> Op:
    return lambda machine: machine.stack.append(machine.noted(index(machine)))


def _index(size: int) -> Callable[[Machine], int]:
    return lambda machine: machine.number(size)


def _index_line(machine: Machine) -> int:
    return int(machine.line())


def _tuple(size: int) -> Op:
    taken = getsizeof((None,) * size)

    def op(machine: Machine) -> None:
        stack = machine.stack
        if len(stack) < size:
            raise Unreadable("a pickle that takes more than it has")
        machine.spend(taken)
        stack[-size:] = [tuple(stack[-size:])]

    return op


def _from_mark(cls: Callable[[Any], Any]) -> Op:
    def op(machine: Machine) -> None:
        made = cls(machine.to_mark())
        machine.spend(getsizeof(made))
        machine.stack.append(made)

    return op


def _dict_of(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(keys(items[::2]), items[1::2], strict=True))


def _frozen(items: list[Any]) -> frozenset[Any]:
    return frozenset(keys(items))


def _extend(machine: Machine, cls: Any, items: list[Any]) -> None:
    into: Any = machine.stack[-1]
    if isinstance(into, Opaque):
        return
    if type(into) is not cls:
        raise Unreadable(f"a pickle that adds to a {type(into).__name__}")
    before = getsizeof(into)
    if cls is list:
        into.extend(items)
    elif cls is set:
        into.update(keys(items))
    else:
        into.update(_dict_of(items))
    machine.spend(getsizeof(into) - before)


def _append(machine: Machine) -> None:
    item = machine.stack.pop()
    _extend(machine, list, [item])


def _appends(machine: Machine) -> None:
    items = machine.to_mark()
    _extend(machine, list, items)


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _extend(machine, dict, [key, value])


def _set_items(machine: Machine) -> None:
    items = machine.to_mark()
    _extend(machine, dict, items)


def _add_items(machine: Machine) -> None:
    items = machine.to_mark()
    _extend(machine, set, items)


def _global(machine: Machine) -> None:
    module, name = machine.line().decode(), machine.line().decode()
    machine.stack.append(named(module, name))


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise Unreadable("a pickle that names a class by no text")
    machine.stack.append(named(module, name))


def _reduce(machine: Machine) -> None:
    args, function = machine.stack.pop(), machine.stack.pop()
    machine.call(function, args)


def _new_with_names(machine: Machine) -> None:
    kwargs, args, cls = (machine.stack.pop() for _ in range(3))
    call_named(machine, "copyreg", "__newobj_ex__", (cls, args, kwargs))


def _instance(machine: Machine) -> None:
    module, name = machine.line().decode(), machine.line().decode()
    args = tuple(machine.to_mark())
    call_named(machine, module, name, args)


def _object(machine: Machine) -> None:
    cls, *args = machine.to_mark()
    machine.call(cls, tuple(args))


def _foreign(machine: Machine, module: str, name: str) -> Opaque:
    machine.spend(_FOREIGN)
    return Opaque(module, name)


def _extension(size: int) -> Op:
    return lambda machine: machine.stack.append(
        _foreign(machine, "copyreg", f"extension {machine.number(size)}")
    )


def _persistent_line(machine: Machine) -> None:
    machine.line()
    machine.stack.append(_foreign(machine, "pickle", "persistent_id"))


def _persistent(machine: Machine) -> None:
    machine.stack[-1] = _foreign(machine, "pickle", "persistent_id")


def _protocol(machine: Machine) -> None:
    if machine.number(1) > 5:
        raise Unreadable("a pickle of a protocol that is not known")


def _frame(machine: Machine) -> None:
    size = machine.number(8)
    if machine.pos + size > len(machine.data):
        raise Unreadable("a pickle that was cut off")


def _refuse(machine: Machine) -> None:
    code = machine.data[machine.pos - 1]
    raise Unreadable(f"a pickle with the instruction {code:#04x}, which Huey never writes")


_BY_CHARACTER: dict[str, Op] = {
    "(": _mark, "0": _pop, "1": Machine.to_mark, "2": _duplicate,
    "F": values.float_line, "I": values.int_line, "L": values.long_line, "V": values.unicode_line,
    "J": values.unpacked("<i"), "K": values.unpacked("<B"), "M": values.unpacked("<H"),
    "G": values.unpacked(">d"),
    "X": values.text(4), "B": values.blob(4), "C": values.blob(1),
    "S": values.python_2_line, "T": values.python_2_text(4), "U": values.python_2_text(1),
    "P": _persistent_line, "Q": _persistent, "R": _reduce, "b": build_top,
    "c": _global, "i": _instance, "o": _object,
    "a": _append, "e": _appends, "s": _set_item, "u": _set_items,
    "d": _from_mark(_dict_of), "l": _from_mark(list), "t": _from_mark(tuple),
    "}": _fresh(dict), "]": _fresh(list), ")": _constant(()),
    "g": _get(_index_line), "h": _get(_index(1)), "j": _get(_index(4)),
    "p": _put(_index_line), "q": _put(_index(1)), "r": _put(_index(4)),
}  # fmt: skip
# 0x81, NEWOBJ, takes what REDUCE does. NONE and MEMOIZE, 0x94, the machine does itself.
_FROM_0X80: list[Op] = [
    _protocol, _reduce, _extension(1), _extension(2), _extension(4),
    _tuple(1), _tuple(2), _tuple(3), _constant(True), _constant(False),
    values.integer(1), values.integer(4), values.short_text, values.text(8), values.blob(8),
    _fresh(set), _add_items, _from_mark(_frozen), _new_with_names, _stack_global,
    _refuse, _frame, values.blob(8, bytearray),
]  # fmt: skip

OPS: list[Op] = [_refuse] * 256
for _character, _op in _BY_CHARACTER.items():
    OPS[ord(_character)] = _op
OPS[0x80 : 0x80 + len(_FROM_0X80)] = _FROM_0X80


def load(data: bytes) -> tuple[Any, list[StoredMessage]]:
    """The value of a pickle, and every message of Huey's in it, at any depth."""
    machine = Machine(data)
    return machine.run(OPS), machine.messages
