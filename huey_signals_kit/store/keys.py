"""The kinds of keys in Huey's result store."""

from __future__ import annotations

import re
from enum import Enum

from huey.api import Huey

TOKEN = "r:"
PAUSE = "rt:"
CHORD = "chord:"
DJANGO = "djt."
OWN = "huey-signals:"
LOCK = ".lock."
RATE = ".rl."

GENERATED = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""The form of the task ids that Huey generates, ``str(uuid.uuid4())``, as a regular expression."""

_GENERATED = re.compile(GENERATED)


class Kind(str, Enum):
    """The kind of a key. The value of a member is its name in JSON and in labels of metrics."""

    RESULT = "result"
    ERROR = "error"
    TOKEN = "token"
    PAUSE = "pause_switch"
    LOCK = "lock"
    RATE = "rate_window"
    CHORD = "chord_part"
    DJANGO = "django_result"
    DJANGO_ERROR = "django_error"
    OWN = "kit"

    def __str__(self) -> str:
        return self.value


DJANGO_KINDS = frozenset({Kind.DJANGO, Kind.DJANGO_ERROR})
"""The kinds of keys that only Huey's backend for Django's own tasks makes."""


class Keys:
    """The classification of the keys in the result store of one Huey."""

    def __init__(self, huey: Huey) -> None:
        storage = huey.storage
        self._has_shared_keyspace = isinstance(getattr(storage, "result_prefix", None), bytes)
        self._has_dotted_name = self._has_shared_keyspace and "." in storage.name
        # Huey.name, not storage.name: Redis storages remove characters from the latter.
        self.lock_prefix = f"{huey.name}{LOCK}"
        self.rate_prefix = f"{huey.name}{RATE}"
        # Locks first: a Huey may be called "r:x", and its locks begin with "r:" as well.
        self._prefixes = (
            (self.lock_prefix, Kind.LOCK),
            (TOKEN, Kind.TOKEN),
            (PAUSE, Kind.PAUSE),
            (CHORD, Kind.CHORD),
            (DJANGO, Kind.DJANGO),
            (OWN, Kind.OWN),
        )

    def kind(self, key: str) -> Kind:
        """Return the kind of `key`.

        An error is a `Kind.RESULT` here, and that of a Django task a `Kind.DJANGO`, because only
        their values show it.
        """
        for prefix, kind in self._prefixes:
            if key.startswith(prefix):
                return kind
        if key.startswith(self.rate_prefix) and key.endswith(".w"):
            return Kind.RATE
        return Kind.RESULT

    def is_of_this_queue(self, key: str, task_id: object) -> bool:
        """Return whether an error is certainly one of this queue, not of another one.

        On `RedisExpireStorage` each result is a Redis key, ``huey.r.<queue>.<key>``, so a scan of
        the queue ``a`` finds the key ``x`` of the queue ``a.b`` as a key ``b.x`` of its own, and a
        queue ``a.b`` finds the key ``b.x`` of the queue ``a`` as its own key ``x``. Huey allows
        such names with ``clean_name=False``. An error is certainly of this queue if it names the
        key as its task's id, or if neither the key nor the queue's name has a dot.

        Tokens need no such check: an id that Huey generated has no dot, and tokens with other ids
        are never deleted automatically.

        Args:
            key: The key under which the error was found.
            task_id: The task id in the error's metadata.
        """
        if not self._has_shared_keyspace or task_id == key:
            return True
        return not self._has_dotted_name and "." not in key

    def lock_name(self, key: str) -> str:
        """Return the name of the lock that has this key."""
        return key[len(self.lock_prefix) :]


def is_generated(task_id: str) -> bool:
    """Return whether the id has the form of those that Huey generates."""
    return _GENERATED.fullmatch(task_id) is not None


def generated_in(text: str) -> set[str]:
    """Return every part of `text` that has the form of an id that Huey generates."""
    return set(_GENERATED.findall(text))
