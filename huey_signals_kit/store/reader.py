"""The reader of stored values and messages: nothing in them can run code.

Compression and signatures are undone and verified as Huey does it. The pickle inside is read by
`unpickle`, an interpreter that knows Huey's ``Error`` and ``Message``, plain values and dates.
Everything else becomes an inert `Opaque`, and what surrounds it can still be read.

A serializer class of the user's own has no pickle that the kit could read, so it is used as it is
(`Reader.is_trusted`).
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
from huey.utils import Error

from .keys import GENERATED
from .protocol import LARGEST
from .unpickle import Opaque, StoredMessage, Unreadable, load
from .unpickle.trusted import messages_in

__all__ = ["Opaque", "ReadMessage", "Reader", "StoredMessage", "Unreadable"]

_READING_METHODS = ("deserialize", "_deserialize", "_unsign", "_signature")
"""Methods of Huey's serializers; a serializer that overrides one writes another format."""
_SMALL = 512
"""Bytes up to which the verdict about a token is cached."""
_PICKLE = b"\x80"
"""The first byte of a pickle."""
_GENERATED = re.compile(GENERATED.encode())
# Positions in Huey's Message, in every version: later versions only added fields at the end.
_ID, _NAME, _ETA, _EXPIRES = 0, 1, 2, 10
# Huey writes the id into keys as text; the text of a container may be too long to be written.
_NOT_AN_ID = (Opaque, list, tuple, dict, set, frozenset)


@dataclass(frozen=True)
class ReadMessage:
    """A message of the queue or the schedule, as far as upkeep needs it."""

    id: str
    name: str
    """The module and name of the task, ``module.name``."""
    eta: datetime | None
    expires: Any
    ids: frozenset[str]
    """Every id to which the message can lead.

    Its own, those of the messages nested in it at any depth, and every text in it that looks like
    an id that Huey generated, because its task may make a task with that id."""
    fields: tuple[Any, ...]
    """All fields, in the order of Huey's ``Message``."""


class Reader:
    """A reader of the values that the serializer of one Huey has written.

    Every method but `is_token` raises `Unreadable` for a value that cannot be read.
    """

    def __init__(self, huey: Huey) -> None:
        self._serializer: Any = huey.serializer
        self.is_trusted = not _is_hueys(self._serializer)
        """Whether the serializer is of the user's own class, and so is used as it is. Then that
        class decides what a value can do."""
        self.serializer_name = type(self._serializer).__name__
        """The class of the serializer, for reports."""
        self._is_wrapped = self.is_trusted or isinstance(
            self._serializer, serializers.SignedSerializer
        )
        """Whether a value that begins as a pickle may be something else."""
        self._is_small_token = lru_cache(1024)(self._is_token)

    def value(self, raw: bytes) -> Any:
        """Return a value of the store.

        It is a plain value, an ``Error``, a `StoredMessage`, an `Opaque`, or a container of these.
        """
        if self.is_trusted:
            return self._deserialize(raw)
        value, _ = load(self._pickle(raw))
        return value

    def message(self, raw: bytes) -> ReadMessage:
        """Return a message of the queue or the schedule."""
        if self.is_trusted:
            message, all_messages, ids = messages_in(self._deserialize(raw))
        else:
            data = self._pickle(raw)
            message, all_messages = load(data)
            ids = {match.decode() for match in _GENERATED.findall(data)}
        if type(message) is not StoredMessage:
            raise Unreadable(f"no message of Huey, but a value of type {type(message).__name__}")
        ids.update(map(_valid_id, all_messages))
        return _read_message(message, frozenset(ids))

    def ids(self, raw: bytes) -> frozenset[str]:
        """Return the `ReadMessage.ids` of a message."""
        return self.message(raw).ids

    def is_token(self, raw: bytes) -> bool:
        """Return whether the value is what Huey writes for a revoked task: a date and a flag."""
        # Nearly all tokens have one of two values, so a cache saves reading them.
        return self._is_small_token(raw) if len(raw) <= _SMALL else self._is_token(raw)

    def is_error(self, raw: bytes) -> bool:
        """Return whether the value is an ``Error`` of Huey.

        A pickle of an object has the name of its class. So a pickle without the word is not an
        error, and need not be read: that is many times faster.
        """
        data = raw
        if self._is_wrapped or raw[:1] != _PICKLE:
            data = b"" if self.is_trusted else self._pickle(raw)
        if data[:1] == _PICKLE and data[-1:] == b"." and b"Error" not in data:
            return False
        return isinstance(self.value(raw), Error)

    def _is_token(self, raw: bytes) -> bool:
        try:
            value = self.value(raw)
        except Unreadable:
            return False
        if type(value) is not tuple or len(value) != 2:
            return False
        revoke_until, revoke_once = value
        has_date = revoke_until is None or isinstance(revoke_until, datetime)
        return has_date and isinstance(revoke_once, bool)

    def _deserialize(self, raw: bytes) -> Any:
        _validate_size(raw)
        try:
            return self._serializer.deserialize(raw)
        except Exception as exc:
            raise Unreadable(
                f"{self.serializer_name}.deserialize() raised {type(exc).__name__}: {exc}"[:200]
            ) from exc

    def _pickle(self, raw: bytes) -> bytes:
        """Return the pickle in a value: decompressed, and without its signature."""
        _validate_size(raw)
        data = raw
        # As Huey does: values that were written before compression was switched on are read, too.
        if self._serializer.comp and data[:1] in (b"\x1f", b"\x78"):
            data = _decompress(data, zlib.MAX_WBITS | (0 if self._serializer.use_zlib else 16))
        if isinstance(self._serializer, serializers.SignedSerializer):
            try:
                return bytes(self._serializer._unsign(data))
            except ValueError:
                raise Unreadable("a value without the signature of this Huey's secret") from None
        return data


def _is_hueys(serializer: Any) -> bool:
    """Return whether the serializer reads values with Huey's own methods."""
    for cls in (serializers.SignedSerializer, serializers.Serializer):
        if isinstance(serializer, cls):
            return all(
                getattr(getattr(serializer, method), "__func__", None) is getattr(cls, method)
                for method in _READING_METHODS
                if hasattr(cls, method)
            )
    return False


def _validate_size(raw: bytes) -> None:
    if not raw:
        raise Unreadable("an empty value, or one that is too large to be fetched")
    if len(raw) > LARGEST:
        raise Unreadable(f"{len(raw):,} bytes: more than {LARGEST:,} are not read")


def _decompress(data: bytes, window: int) -> bytes:
    """Return the decompressed data, if it has no more than `LARGEST` bytes.

    Args:
        data: The compressed data.
        window: The ``wbits`` of `zlib`: more than ``MAX_WBITS`` means gzip.
    """
    parts, room = [], LARGEST
    while data.rstrip(b"\0"):  # a gzip file may have several members, and zeros at the end
        decompressor = zlib.decompressobj(window)
        try:
            part = decompressor.decompress(data, room + 1)
        except zlib.error as exc:
            raise Unreadable(f"broken compression ({exc})") from None
        parts.append(part)
        room -= len(part)
        if room < 0:
            raise Unreadable(f"more than {LARGEST:,} bytes when decompressed")
        if not decompressor.eof:
            raise Unreadable("compressed data that was cut off")
        data = decompressor.unused_data if window > zlib.MAX_WBITS else b""
    return b"".join(parts)


def _valid_id(message: StoredMessage) -> str:
    has_name = len(message) > _ETA and type(message[_NAME]) is str
    if not has_name or isinstance(message[_ID], _NOT_AN_ID):
        raise Unreadable("a message without an id, or without the name of its task")
    return str(message[_ID])


def _read_message(message: StoredMessage, ids: frozenset[str]) -> ReadMessage:
    eta = message[_ETA] if isinstance(message[_ETA], datetime) else None
    expires = message[_EXPIRES] if len(message) > _EXPIRES else None
    return ReadMessage(str(message[_ID]), message[_NAME], eta, expires, ids, message)
