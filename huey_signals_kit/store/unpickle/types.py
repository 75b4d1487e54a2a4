"""What a pickle may make: values that Huey writes, and plain ones. All else is a placeholder.

Nothing is imported or looked up by a name that stands in a pickle; the names below are compared
with it. Each maker here takes any arguments, and no more time or memory than they have.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from huey.utils import Error

DIGITS = 4_300
"""The longest number that Python reads from text, and the longest that is read here."""


class Unreadable(ValueError):
    """A value or a message that is broken, or beyond what is read; it says why."""


class Opaque:
    """Stands for a class that is not plain, for an instance of it, or what a function made.

    It has no behaviour: it is equal to itself only, and what was put into it is gone.
    """

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __repr__(self) -> str:
        return f"<foreign {self.module}.{self.name}>"


class Constructor(Opaque):
    """A class or function whose name is known here, and what makes the same of its arguments."""

    __slots__ = ("make",)

    def __init__(self, module: str, name: str, make: Callable[..., Any]) -> None:
        super().__init__(module, name)
        self.make = make


class StoredMessage(tuple[Any, ...]):
    """The fields of Huey's ``Message``, as many as the Huey had that wrote it."""

    __slots__ = ()


def named(module: str, name: str) -> Opaque:
    """The class or function of that name."""
    return _KNOWN.get((_PYTHON_2.get(module, module), name)) or Opaque(module, name)


def build(made: Any, state: Any) -> None:
    """Give *made* its *state*, as far as it is known to have one."""
    if type(made) is UUID:
        number = state.get("int") if type(state) is dict else None
        if type(number) is int and 0 <= number < 1 << 128:
            object.__setattr__(made, "int", number)
            return
    if not isinstance(made, Opaque):
        raise Unreadable(f"a pickle gives a state to a {type(made).__name__}")


def _message(*fields: Any) -> StoredMessage:
    return StoredMessage(fields)


def _error(metadata: Any) -> Error:
    return Error(_only(dict, metadata))


def _uuid() -> UUID:
    return UUID(int=0)  # until `build` knows better


def unwrapped(function: Any, args: Any) -> tuple[Any, Any]:
    """The class that *function* makes an instance of, and its arguments; once.

    (Protocols 0 and 1 name a function that does so. What it makes of a named tuple has that
    tuple's fields as its state.)
    """
    if type(function) is not Constructor or function.module != "copyreg" or type(args) is not tuple:
        return function, args
    if function.name == "__newobj__":
        return args[0], args[1:]
    if function.name == "__newobj_ex__":
        cls, given, named_args = args
        return (Opaque(cls.module, cls.name) if named_args else cls), given
    cls, _, state = args
    return cls, state if type(state) is tuple else ()


def _unmade(*args: Any) -> Any:
    raise TypeError(args)


def _encode(text: Any, encoding: Any) -> bytes:
    # How protocols 0 to 2 write bytes.
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(encoding)
    return bytes(_only(str, text).encode("latin-1"))


def _bytearray(content: Any = b"", encoding: Any = None) -> bytearray:
    if encoding is not None:
        return bytearray(_encode(content, encoding))
    return bytearray(_only(bytes, content))  # of a number, it would be that long


def _bytes() -> bytes:
    return b""


def _decimal(text: Any) -> Decimal:
    if len(_only(str, text)) > DIGITS:
        raise ValueError(text)
    return Decimal(text)


def _from_bytes(cls: Any) -> Callable[..., Any]:
    return lambda state, *zone: cls(_only(bytes, state), *zone)


def _of_list(cls: Any) -> Callable[..., Any]:
    def make(items: Any = ()) -> Any:
        if type(items) not in (list, tuple):
            raise TypeError(items)
        return cls(keys(items))

    return make


def _only(cls: type, value: Any) -> Any:
    if type(value) is not cls:
        raise TypeError(value)
    return value


_ODD_KEYS = 10_000
_KEY_PARTS = 100


def keys(found: Any) -> Any:
    """The *found* keys of a dict or members of a set, if hashing them takes no time to speak of."""
    odd = [key for key in found if type(key) not in _QUICK]
    if odd:
        large = [key for key in odd if type(key) is not int or key.bit_length() > 60]
        if len(large) > _ODD_KEYS:
            raise Unreadable(f"more than {_ODD_KEYS:,} keys whose hashes anybody can make alike")
        for key in large:
            _check_parts(key)
    return found


def _check_parts(key: Any) -> None:
    # A tuple's hash is that of its parts, again and again where they are shared.
    rest, parts = [key], 0
    while rest:
        each = rest.pop()
        parts += 1
        if isinstance(each, (tuple, frozenset)):
            rest.extend(each)
        if parts + len(rest) > _KEY_PARTS:
            raise Unreadable(f"a key of more than {_KEY_PARTS} parts")


_QUICK = frozenset({str, bytes, bool, type(None), Opaque, Constructor})
_PYTHON_2 = {"copy_reg": "copyreg", "__builtin__": "builtins"}
_MAKERS: dict[str, dict[str, Callable[..., Any]]] = {
    "huey.registry": {"Message": _message},
    "huey.utils": {"Error": _error},
    "copyreg": dict.fromkeys(("_reconstructor", "__newobj__", "__newobj_ex__"), _unmade),
    "_codecs": {"encode": _encode},
    "builtins": {
        "set": _of_list(set),
        "frozenset": _of_list(frozenset),
        "bytearray": _bytearray,
        "bytes": _bytes,
        "complex": lambda real, imag: complex(_only(float, real), _only(float, imag)),
    },
    "datetime": {
        "datetime": _from_bytes(dt.datetime),
        "date": _from_bytes(dt.date),
        "time": _from_bytes(dt.time),
        "timedelta": lambda *parts: dt.timedelta(*(_only(int, part) for part in parts)),
        "timezone": dt.timezone,
    },
    "decimal": {"Decimal": _decimal},
    "uuid": {"UUID": _uuid},
}
_KNOWN = {
    (module, name): Constructor(module, name, make)
    for module, makers in _MAKERS.items()
    for name, make in makers.items()
}
