"""A header with the trace context, inside the bytes that Huey's own serializers make.

The header follows the pickle. Unpickling ends before it, so a process without this code reads the
message as always, and drops the header when it puts the task back. Compression and signatures
include the header. The last byte of a pickle is a dot, that of a header is not.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ...huey_internals.class_patch import (
    ClassPatch,
    Replacement,
    is_message,
    is_own_serializer,
)
from ...runtime.log import log

ATTRIBUTE = "_huey_signals_kit_trace"
"""The attribute of a task that has the carrier of its message."""

Carrier = dict[str, str]

_MAGIC = b"\x00huey-trace\x01"
_LENGTH = 4
_MAX_BYTES = 8192

_outgoing: ContextVar[tuple[str, Carrier] | None] = ContextVar("huey_signals_kit_out", default=None)
"""The id of the task that is being put into the queue or the schedule, and its carrier."""
_incoming: ContextVar[tuple[Any, Carrier] | None] = ContextVar("huey_signals_kit_in", default=None)
"""The last message with a header, and its carrier."""


class Headers:
    """The reading and writing of headers.

    Args:
        patch: Gets the patches.
        on_error: Called if a header cannot be written or read.
    """

    def __init__(self, patch: ClassPatch, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._refused: set[type] = set()
        patch.wrap("pickle", self._serialize)
        patch.wrap("unpickle", self._deserialize)
        patch.wrap("create task", self._create_task)

    def can_carry(self, huey: Any) -> bool:
        """Return whether messages of `huey` can have a header; warn once if they cannot."""
        if is_own_serializer(huey.serializer):
            return True
        cls = type(huey.serializer)
        if cls not in self._refused:
            self._refused.add(cls)
            log(
                logging.WARNING,
                "Huey %r: messages carry no trace context, because the serializer %s is not Huey's "
                "Serializer or SignedSerializer. Each task gets a trace of its own. To propagate, "
                "use one of these serializers.",
                huey.name,
                cls.__qualname__,
                queue=huey.name,
            )
        return False

    def _serialize(self, original: Replacement, serializer: Any, data: Any) -> Any:
        serialized = original(serializer, data)
        try:
            outgoing = _outgoing.get()
            if (
                outgoing is None
                or not is_message(data)
                or data.id != outgoing[0]
                or not is_own_serializer(serializer)
            ):
                return serialized
            header = json.dumps(outgoing[1], separators=(",", ":")).encode()
            if len(header) > _MAX_BYTES:
                return serialized
            return serialized + header + len(header).to_bytes(_LENGTH, "big") + _MAGIC
        except Exception as exc:  # a propagator may have set a value that is not a string
            self._on_error(exc)
            return serialized

    def _deserialize(self, original: Replacement, serializer: Any, data: Any) -> Any:
        value = original(serializer, data)
        try:
            if is_message(value) and data.endswith(_MAGIC):
                carrier = _read(data)
                if carrier is not None:
                    _incoming.set((value, carrier))
        except Exception as exc:
            self._on_error(exc)
        return value

    def _create_task(self, original: Replacement, registry: Any, message: Any) -> Any:
        task = original(registry, message)
        incoming = _incoming.get()
        if incoming is not None and incoming[0] is message:
            _incoming.set(None)
            try:
                setattr(task, ATTRIBUTE, incoming[1])
            except Exception as exc:  # a task class of the application may refuse attributes
                self._on_error(exc)
        return task


def carrier_of(task: Any) -> Carrier | None:
    """Return the carrier with which the message of `task` has come, or None."""
    return getattr(task, ATTRIBUTE, None)


def set_outgoing_carrier(task: Any, carrier: Carrier) -> Any:
    """Write `carrier` into the next message of `task`.

    Return the token for `reset_outgoing_carrier`.
    """
    return _outgoing.set((task.id, carrier))


def reset_outgoing_carrier(token: Any) -> None:
    """Undo the call of `set_outgoing_carrier` that has returned `token`."""
    _outgoing.reset(token)


def _read(data: bytes) -> Carrier | None:
    """Return the carrier at the end of a serialized message; None if it is not valid."""
    end = len(data) - len(_MAGIC) - _LENGTH
    size = int.from_bytes(data[end : end + _LENGTH], "big")
    if not 0 < size <= min(end, _MAX_BYTES):
        return None
    try:
        carrier = json.loads(data[end - size : end])
    except ValueError:
        return None
    is_valid = isinstance(carrier, dict) and all(isinstance(v, str) for v in carrier.values())
    return carrier if is_valid else None
