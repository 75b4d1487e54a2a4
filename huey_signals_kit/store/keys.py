"""What a key of the result store is."""

from __future__ import annotations

import re
from enum import Enum

from huey.api import Huey

TOKEN = "r:"
PAUSE = "rt:"
CHORD = "chord:"
OWN = "huey-signals:"
LOCK = ".lock."
RATE = ".rl."

GENERATED = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""The form of the ids that Huey makes, ``str(uuid.uuid4())``, as a regular expression."""

_GENERATED = re.compile(GENERATED)


class Kind(str, Enum):
    """The kind of a key; its value is the name in JSON and in labels of metrics."""

    RESULT = "result"
    ERROR = "error"
    TOKEN = "token"
    PAUSE = "pause_switch"
    LOCK = "lock"
    RATE = "rate_window"
    CHORD = "chord_part"
    OWN = "kit"

    def __str__(self) -> str:
        return self.value


class Keys:
    """Tells what keys are, in the store of one Huey."""

    def __init__(self, huey: Huey) -> None:
        storage = huey.storage
        self._shared = isinstance(getattr(storage, "result_prefix", None), bytes)
        self._dotted = self._shared and "." in storage.name
        # The name as it is: Redis storages clean it only for the keys of their own.
        self.lock_prefix = f"{huey.name}{LOCK}"
        self.rate_prefix = f"{huey.name}{RATE}"
        # Locks first: what begins with "r:" as well is then a lock of a Huey of that name.
        self._prefixes = (
            (self.lock_prefix, Kind.LOCK),
            (TOKEN, Kind.TOKEN),
            (PAUSE, Kind.PAUSE),
            (CHORD, Kind.CHORD),
            (OWN, Kind.OWN),
        )

    def kind(self, key: str) -> Kind:
        """What *key* is; a `Kind.RESULT` is a `Kind.ERROR` if its value is one."""
        for prefix, kind in self._prefixes:
            if key.startswith(prefix):
                return kind
        if key.startswith(self.rate_prefix) and key.endswith(".w"):
            return Kind.RATE
        return Kind.RESULT

    def is_ours(self, key: str, task_id: object) -> bool:
        """Whether an error under *key*, which names *task_id*, is surely one of this queue's.

        Where each result is a Redis key of its own (``huey.r.<name>.<key>``), what the queue
        ``a.b`` has under ``x`` is to the queue ``a`` what it has itself under ``b.x``, and the
        other way round: Huey allows such names with ``clean_name=False``. Then a key is known
        to be this queue's if the error names it, or if no dot stands in it and in the name.
        (Tokens cannot be mistaken: with an id of Huey's they have no dot, and no other is
        deleted by itself.)
        """
        return not self._shared or task_id == key or not (self._dotted or "." in key)

    def lock_name(self, key: str) -> str:
        """The name of the lock whose key it is."""
        return key[len(self.lock_prefix) :]


def is_generated(task_id: str) -> bool:
    """Whether Huey makes ids of this form: no other can be told from one of the user's."""
    return _GENERATED.fullmatch(task_id) is not None


def generated_in(text: str) -> set[str]:
    """All that looks like an id of Huey's in *text*."""
    return set(_GENERATED.findall(text))
