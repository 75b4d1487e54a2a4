"""The values that a pickle may construct: those that Huey writes, and plain ones.

Everything else is an `Opaque`. No name in a pickle is imported or looked up in a module; it is only
compared with the names in `_CONSTRUCTORS`. Each constructor accepts any arguments, and needs no
more time or memory than their size.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from huey.utils import Error

MAX_DIGITS = 4_300
"""Digits of the longest number that Python reads from text, and so of the longest that is read."""

_MAX_SLOW_KEYS = 10_000
_MAX_KEY_PARTS = 100


class Unreadable(ValueError):
    """A stored value is broken, or exceeds a bound; the text says why."""


class Opaque:
    """A placeholder for a class that is not known, an instance of it, or a function's result.

    It has no behaviour, and is equal only to itself. What a pickle puts into it is lost.
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __repr__(self) -> str:
        return f"<opaque {self.module}.{self.name}>"


class Constructor(Opaque):
    """A known class or function, with a safe function that returns the same for its arguments."""

    __slots__ = ("construct",)

    def __init__(self, module: str, name: str, construct: Callable[..., Any]) -> None:
        super().__init__(module, name)
        self.construct = construct


class StoredMessage(tuple[Any, ...]):
    """The fields of Huey's ``Message``, as many as the version of Huey had that wrote it."""

    __slots__ = ()


def lookup(module: str, name: str) -> Opaque:
    """Return the `Constructor` with this name, or an `Opaque` for an unknown name."""
    known = _KNOWN.get((_PYTHON_2_MODULES.get(module, module), name))
    return known or Opaque(module, name)


def set_state(value: Any, state: Any) -> None:
    """Do what a pickle's BUILD does: only a `UUID` has a state, and an `Opaque` ignores it."""
    if type(value) is UUID:
        number = state.get("int") if type(state) is dict else None
        if type(number) is int and 0 <= number < 1 << 128:
            object.__setattr__(value, "int", number)
            return
    if not isinstance(value, Opaque):
        raise Unreadable(f"a pickle that sets the state of a {type(value).__name__}")


def unwrap_call(function: Any, args: Any) -> tuple[Any, Any]:
    """Return the class that a function of `copyreg` instantiates, and the arguments for it.

    Protocols 0 and 1 do not name a class but ``copyreg._reconstructor``, with the class among its
    arguments; later ones may name ``__newobj__``. For a named tuple, the state that is passed to
    ``_reconstructor`` has the fields. Any other function is returned unchanged.
    """
    if type(function) is not Constructor or function.module != "copyreg" or type(args) is not tuple:
        return function, args
    if function.name == "__newobj__":
        return args[0], args[1:]
    if function.name == "__newobj_ex__":
        cls, positional, keywords = args
        return (Opaque(cls.module, cls.name) if keywords else cls), positional
    cls, _, state = args
    return cls, state if type(state) is tuple else ()


def validate_hashing(keys: Any) -> Any:
    """Return the keys of a dict or members of a set, if hashing them takes little time.

    Hashes of texts are random in each process, but anyone can choose integers with equal hashes,
    which make a dict of n keys take n² steps. And the hash of a tuple is computed from its parts
    again each time, so a few tuples that contain each other twice take exponential time.

    Raises:
        Unreadable: There are too many such keys, or one has too many parts.
    """
    slow = [key for key in keys if type(key) not in _HASHED_QUICKLY]
    if slow:
        slow = [key for key in slow if type(key) is not int or key.bit_length() > 60]
        if len(slow) > _MAX_SLOW_KEYS:
            raise Unreadable(f"more than {_MAX_SLOW_KEYS:,} keys that may have equal hashes")
        for key in slow:
            _validate_parts(key)
    return keys


def _validate_parts(key: Any) -> None:
    unvisited, visited = [key], 0
    while unvisited:
        part = unvisited.pop()
        visited += 1
        if isinstance(part, (tuple, frozenset)):
            unvisited.extend(part)
        if visited + len(unvisited) > _MAX_KEY_PARTS:
            raise Unreadable(f"a key of more than {_MAX_KEY_PARTS} parts")


def _message(*fields: Any) -> StoredMessage:
    return StoredMessage(fields)


def _error(metadata: Any) -> Error:
    return Error(_require(dict, metadata))


def _uuid() -> UUID:
    return UUID(int=0)  # `set_state` sets the number


def _unwrapped_elsewhere(*args: Any) -> Any:
    """Raise an error: the functions of `copyreg` are called by `unwrap_call`."""
    raise TypeError(args)


def _encode(text: Any, encoding: Any) -> bytes:
    # Protocols 0 to 2 write bytes as a text that is to be encoded.
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(encoding)
    return bytes(_require(str, text).encode("latin-1"))


def _bytearray(content: Any = b"", encoding: Any = None) -> bytearray:
    if encoding is not None:
        return bytearray(_encode(content, encoding))
    return bytearray(_require(bytes, content))  # bytearray(number) would have that many bytes


def _bytes() -> bytes:
    return b""


def _decimal(text: Any) -> Decimal:
    if len(_require(str, text)) > MAX_DIGITS:
        raise ValueError(text)
    return Decimal(text)


def _from_bytes(cls: Any) -> Callable[..., Any]:
    return lambda state, *zone: cls(_require(bytes, state), *zone)


def _from_list(cls: Any) -> Callable[..., Any]:
    def construct(items: Any = ()) -> Any:
        if type(items) not in (list, tuple):
            raise TypeError(items)
        return cls(validate_hashing(items))

    return construct


def _require(cls: type, value: Any) -> Any:
    if type(value) is not cls:
        raise TypeError(value)
    return value


_HASHED_QUICKLY = frozenset({str, bytes, bool, type(None), Opaque, Constructor})
_PYTHON_2_MODULES = {"copy_reg": "copyreg", "__builtin__": "builtins"}
_CONSTRUCTORS: dict[str, dict[str, Callable[..., Any]]] = {
    "huey.registry": {"Message": _message},
    "huey.utils": {"Error": _error},
    "copyreg": dict.fromkeys(
        ("_reconstructor", "__newobj__", "__newobj_ex__"), _unwrapped_elsewhere
    ),
    "_codecs": {"encode": _encode},
    "builtins": {
        "set": _from_list(set),
        "frozenset": _from_list(frozenset),
        "bytearray": _bytearray,
        "bytes": _bytes,
        "complex": lambda real, imag: complex(_require(float, real), _require(float, imag)),
    },
    "datetime": {
        "datetime": _from_bytes(dt.datetime),
        "date": _from_bytes(dt.date),
        "time": _from_bytes(dt.time),
        "timedelta": lambda *parts: dt.timedelta(*(_require(int, part) for part in parts)),
        "timezone": dt.timezone,
    },
    "decimal": {"Decimal": _decimal},
    "uuid": {"UUID": _uuid},
}
_KNOWN = {
    (module, name): Constructor(module, name, construct)
    for module, constructors in _CONSTRUCTORS.items()
    for name, construct in constructors.items()
}
