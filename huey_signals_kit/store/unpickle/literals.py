"""The instructions of pickles for numbers, texts and bytes, in every protocol.

A function with a parameter returns an instruction; the others are instructions themselves.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from .machine import Machine
from .types import MAX_DIGITS, Opaque, Unreadable

Instruction = Callable[[Machine], Any]

_LONGEST_INT = MAX_DIGITS * 10 // 24 - 8
"""Bytes of the longest integer that Python converts to text (about 24/10 digits per byte)."""
_VALID_ESCAPES = re.compile(rb"""(?:[^\\]|\\[\\'"abfnrtv]|\\x[0-9a-fA-F]{2}|\\[0-3]?[0-7]{1,2})*""")


def fixed_number(layout: str) -> Instruction:
    """Return the instruction for a number with this layout of `struct`."""
    size, unpack = struct.calcsize(layout), struct.Struct(layout).unpack
    return lambda machine: machine.stack.append(unpack(machine.read(size))[0])


def text(size: int) -> Instruction:
    """Return the instruction for a text after its length, which has `size` bytes."""
    return lambda machine: machine.stack.append(
        machine.read(machine.read_int(size)).decode("utf-8", "surrogatepass")
    )


def short_text(machine: Machine) -> None:
    """Push a text of less than 256 bytes.

    Hot path: half of the values in a message are short texts, so `Machine.read` is inlined here.
    """
    start = machine.position + 1
    end = machine.position = start + machine.data[start - 1]
    if end > len(machine.data):
        raise Unreadable("a pickle that was cut off")
    machine.stack.append(machine.data[start:end].decode("utf-8", "surrogatepass"))


def blob(size: int, cls: Callable[[bytes], Any] = bytes) -> Instruction:
    """Return the instruction for bytes, as `cls`, after their length of `size` bytes."""
    return lambda machine: machine.stack.append(cls(machine.read(machine.read_int(size))))


def integer(size: int) -> Instruction:
    """Return the instruction for an integer after its length, which has `size` bytes.

    An integer that Python would refuse to convert to text becomes an `Opaque`.
    """

    def instruction(machine: Machine) -> None:
        data = machine.read(machine.read_int(size))
        if len(data) > _LONGEST_INT:
            machine.stack.append(Opaque("builtins", "int"))
        else:
            machine.stack.append(int.from_bytes(data, "little", signed=True))

    return instruction


def _integer_from_text(line: bytes) -> Any:
    return int(line, 0) if len(line) < MAX_DIGITS else Opaque("builtins", "int")


def int_line(machine: Machine) -> None:
    """Push an integer from a line; protocol 0 writes False and True as 00 and 01."""
    line = machine.read_line()
    if line in (b"00", b"01"):
        machine.stack.append(line == b"01")
    else:
        machine.stack.append(_integer_from_text(line))


def long_line(machine: Machine) -> None:
    """Push a ``long`` of Python 2 from a line that ends in L."""
    machine.stack.append(_integer_from_text(machine.read_line().removesuffix(b"L")))


def float_line(machine: Machine) -> None:
    """Push a floating point number from a line."""
    machine.stack.append(float(machine.read_line()))


def unicode_line(machine: Machine) -> None:
    """Push a text from a line."""
    machine.stack.append(machine.read_line().decode("raw-unicode-escape"))


def python_2_line(machine: Machine) -> None:
    """Push a text of Python 2 from a line with quotes."""
    line = machine.read_line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Unreadable("a pickle with a text that has no quotes")
    # Python warns about an unknown escape, and warnings may be errors.
    if _VALID_ESCAPES.fullmatch(line[1:-1]) is None:
        raise Unreadable("a pickle with a text that has an unknown escape")
    machine.stack.append(line[1:-1].decode("unicode_escape").encode("latin-1").decode("ascii"))


def python_2_text(size: int) -> Instruction:
    """Return the instruction for a text of Python 2 after its length of `size` bytes."""
    return lambda machine: machine.stack.append(
        machine.read(machine.read_int(size)).decode("ascii")
    )
