"""Numbers and texts as every protocol of pickles writes them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from .machine import Machine
from .types import DIGITS, Opaque, Unreadable

Op = Callable[[Machine], Any]

_LONGEST_INT = DIGITS * 10 // 24 - 8
"""Bytes of the longest integer that Python would print."""
_ESCAPES = re.compile(rb"""(?:[^\\]|\\[\\'"abfnrtv]|\\x[0-9a-fA-F]{2}|\\[0-3]?[0-7]{1,2})*""")


def unpacked(form: str) -> Op:
    """A number of a fixed form."""
    size, unpack = struct.calcsize(form), struct.Struct(form).unpack
    return lambda machine: machine.stack.append(unpack(machine.take(size))[0])


def text(size: int) -> Op:
    """A text after its length."""
    return lambda machine: machine.stack.append(
        machine.take(machine.number(size)).decode("utf-8", "surrogatepass")
    )


def short_text(machine: Machine) -> None:
    """A text of less than 256 bytes: half of all that stands in a message."""
    start = machine.pos + 1
    end = machine.pos = start + machine.data[start - 1]
    if end > len(machine.data):
        raise Unreadable("a pickle that was cut off")
    machine.stack.append(machine.data[start:end].decode("utf-8", "surrogatepass"))


def blob(size: int, cls: Callable[[bytes], Any] = bytes) -> Op:
    """Bytes after their length."""
    return lambda machine: machine.stack.append(cls(machine.take(machine.number(size))))


def integer(size: int) -> Op:
    """An integer of any length; a placeholder for one that Python would not print."""

    def op(machine: Machine) -> None:
        data = machine.take(machine.number(size))
        if len(data) > _LONGEST_INT:
            machine.stack.append(Opaque("builtins", "int"))
        else:
            machine.stack.append(int.from_bytes(data, "little", signed=True))

    return op


def _digits(line: bytes) -> Any:
    return int(line, 0) if len(line) < DIGITS else Opaque("builtins", "int")


def int_line(machine: Machine) -> None:
    """An integer as a line, or what protocol 0 takes for True and False."""
    line = machine.line()
    machine.stack.append(
        {b"00": False, b"01": True}[line] if line in (b"00", b"01") else _digits(line)
    )


def long_line(machine: Machine) -> None:
    """A longer one."""
    machine.stack.append(_digits(machine.line().removesuffix(b"L")))


def float_line(machine: Machine) -> None:
    """A floating point number as a line."""
    machine.stack.append(float(machine.line()))


def unicode_line(machine: Machine) -> None:
    """A text as a line."""
    machine.stack.append(machine.line().decode("raw-unicode-escape"))


def python_2_line(machine: Machine) -> None:
    """A text of Python 2 as a line, in quotes."""
    line = machine.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Unreadable("a pickle with a text that has no quotes")
    # An escape that Python does not know would be a warning.
    if _ESCAPES.fullmatch(line[1:-1]) is None:
        raise Unreadable("a pickle with a text that has a wrong escape")
    machine.stack.append(line[1:-1].decode("unicode_escape").encode("latin-1").decode("ascii"))


def python_2_text(size: int) -> Op:
    """A text of Python 2 after its length."""
    return lambda machine: machine.stack.append(machine.take(machine.number(size)).decode("ascii"))
