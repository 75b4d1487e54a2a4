"""Reads values and messages so that nothing in them can run code.

Compression and signatures are undone as Huey does it, and checked first. Pickles are read by an
interpreter that knows Huey's ``Error`` and ``Message``, plain values and dates; anything else
becomes an inert `Opaque`, and what stands around it can still be read.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from huey import serializer as serializers
from huey.api import Huey

from .keys import GENERATED
from .protocol import LARGEST
from .unpickle.opcodes import load
from .unpickle.trusted import messages_in
from .unpickle.types import Opaque, StoredMessage, Unreadable

__all__ = ["Opaque", "ReadMessage", "Reader", "StoredMessage", "Unreadable"]

_METHODS = ("deserialize", "_deserialize", "_unsign", "_signature")
_SMALL = 512
_GENERATED = re.compile(GENERATED.encode())
# Where the fields are in every version's Message; later ones only added some at the end.
_ID, _NAME, _ETA, _EXPIRES = 0, 1, 2, 10
# Huey writes an id into keys; what holds other values may be too long to be written at all.
_NO_ID = (Opaque, list, tuple, dict, set, frozenset)


@dataclass(frozen=True)
class ReadMessage:
    """A message of the queue or the schedule, as far as upkeep needs it."""

    id: str
    name: str
    """``module.name`` of the task."""
    eta: datetime | None
    expires: Any
    ids: frozenset[str]
    """Every id that it can lead to: its own, those of the messages in it at any depth, and all
    that looks like an id of Huey's anywhere in it, as its task may make a task of that."""
    fields: tuple[Any, ...]
    """All fields, in the order of Huey's ``Message``."""


class Reader:
    """Reads what the serializer of one Huey has written. What cannot be read is `Unreadable`."""

    def __init__(self, huey: Huey) -> None:
        self._serializer: Any = huey.serializer
        self.is_trusted = not _is_hueys(self._serializer)
        """Whether the serializer is of the user's own: then it is used as it is, and what
        values can do is up to it."""
        self.serializer_name = type(self._serializer).__name__
        """The name of its class, for reports."""
        self._is_small_token = lru_cache(1024)(self._reads_as_token)

    def value(self, raw: bytes) -> Any:
        """A value of the store: plain, an ``Error``, a `StoredMessage`, a `Opaque`, or with
        such ones inside."""
        return self._own(raw) if self.is_trusted else load(self._payload(raw))[0]

    def message(self, raw: bytes) -> ReadMessage:
        """A message of the queue or the schedule."""
        if self.is_trusted:
            fields, messages, ids = messages_in(self._own(raw))
        else:
            payload = self._payload(raw)
            fields, messages = load(payload)
            ids = {found.decode() for found in _GENERATED.findall(payload)}
        if type(fields) is not StoredMessage:
            raise Unreadable(f"a {type(fields).__name__} where a message of Huey's is expected")
        ids.update(_checked_id(each) for each in messages)
        return _read(fields, frozenset(ids))

    def ids(self, raw: bytes) -> frozenset[str]:
        """The `ReadMessage.ids` of a message."""
        return self.message(raw).ids

    def is_token(self, raw: bytes) -> bool:
        """Whether it reads as what Huey writes for a revoked task: until when, and if once."""
        # Most are the very same bytes.
        return self._is_small_token(raw) if len(raw) <= _SMALL else self._reads_as_token(raw)

    def _reads_as_token(self, raw: bytes) -> bool:
        try:
            value = self.value(raw)
        except Unreadable:
            return False
        if type(value) is not tuple or len(value) != 2:
            return False
        until, once = value
        return (until is None or isinstance(until, datetime)) and isinstance(once, bool)

    def _own(self, raw: bytes) -> Any:
        try:
            return self._serializer.deserialize(_sized(raw))
        except Exception as exc:
            raise Unreadable(
                f"{self.serializer_name}.deserialize() raised {type(exc).__name__}: {exc}"[:200]
            ) from exc

    def _payload(self, raw: bytes) -> bytes:
        data = _sized(raw)
        # As Huey does: with compression on, what was written before is read as well.
        if self._serializer.comp and data[:1] in (b"\x1f", b"\x78"):
            data = _decompressed(data, zlib.MAX_WBITS | (0 if self._serializer.use_zlib else 16))
        if isinstance(self._serializer, serializers.SignedSerializer):
            try:
                return bytes(self._serializer._unsign(data))
            except ValueError:
                raise Unreadable("a value without the signature of this Huey's secret") from None
        return data


def _is_hueys(serializer: Any) -> bool:
    for cls in (serializers.SignedSerializer, serializers.Serializer):
        if isinstance(serializer, cls):
            return all(
                getattr(getattr(serializer, method), "__func__", None) is getattr(cls, method)
                for method in _METHODS
                if hasattr(cls, method)
            )
    return False


def _sized(raw: bytes) -> bytes:
    if not raw:
        raise Unreadable("nothing, or more than is read")
    if len(raw) > LARGEST:
        raise Unreadable(f"{len(raw):,} bytes: more than {LARGEST:,} are not read")
    return raw


def _decompressed(data: bytes, window: int) -> bytes:
    found, room = [], LARGEST
    while data.rstrip(b"\0"):  # a file of gzip may have several parts, and zeros at the end
        part = zlib.decompressobj(window)
        try:
            found.append(part.decompress(data, room + 1))
        except zlib.error as exc:
            raise Unreadable(f"compression that is broken ({exc})") from None
        room -= len(found[-1])
        if room < 0:
            raise Unreadable(f"more than {LARGEST:,} bytes when decompressed")
        if not part.eof:
            raise Unreadable("compressed data that was cut off")
        data = part.unused_data if window > zlib.MAX_WBITS else b""
    return b"".join(found)


def _checked_id(message: StoredMessage) -> str:
    if len(message) <= _ETA or type(message[_NAME]) is not str or isinstance(message[_ID], _NO_ID):
        raise Unreadable("a message without an id, or without the name of its task")
    return str(message[_ID])


def _read(fields: StoredMessage, ids: frozenset[str]) -> ReadMessage:
    eta = fields[_ETA] if isinstance(fields[_ETA], datetime) else None
    expires = fields[_EXPIRES] if len(fields) > _EXPIRES else None
    return ReadMessage(str(fields[_ID]), fields[_NAME], eta, expires, ids, fields)
