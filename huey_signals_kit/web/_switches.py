"""The revoke tokens and pause switches of single tasks, read for a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Any

from ..ledger import Ledger
from ..store import Keys, Kind, Reader, open_store
from ..store.keys import DJANGO, PAUSE, TOKEN
from ..upkeep import Explanation, LockInfo, TokenList, explain
from .arguments import FormatArguments, describe_arguments


@dataclass(frozen=True)
class Pause:
    """The pause switch of a task."""

    until: datetime | None
    """When it expires, without a zone, in the time of the Huey; None if it does not expire."""
    once: bool
    """Whether it stops only the next run."""
    is_over: bool
    is_readable: bool
    digest: str
    """A digest of its stored value."""


@dataclass(frozen=True)
class TaskState:
    """Where one task is, and its stored tokens."""

    explanation: Explanation
    digests: dict[str, str]
    """By key: a digest of each token and switch that is stored for the task."""
    foreign: frozenset[str]
    """Those of these keys whose value is not a token that can be read."""
    has_record: bool
    """Whether a record of Django is stored for the task."""
    arguments: str = ""
    """Its arguments, formatted; empty if they are hidden or unknown. The arguments themselves are
    not kept, as they can be large."""


@dataclass(frozen=True)
class ListedToken:
    """A revoke token or a pause switch in the list of the page."""

    key: str
    name: str
    is_pause: bool
    state: str
    """See `TokenInfo.state`."""
    until: datetime | None
    once: bool

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        until = None if self.until is None else self.until.isoformat()
        return {"key": self.key, "state": self.state, "until": until, "once": self.once}


MAX_LISTED = 100


def list_tokens(huey: Any) -> list[ListedToken]:
    """Return the first tokens and pause switches; one more than `MAX_LISTED` if there are more."""
    return [
        ListedToken(
            token.entry.key,
            token.name,
            token.entry.key.startswith(PAUSE),
            token.state,
            token.until,
            token.once,
        )
        for token in islice(TokenList(huey), MAX_LISTED + 1)
    ]


def digest(raw: bytes) -> str:
    """Return a short form of a stored value, for a form that must name it."""
    return blake2b(raw, digest_size=16).hexdigest()


def is_switch(huey: Any, key: str) -> bool:
    """Return whether a key is that of a token or a pause switch, and not that of a lock."""
    return Keys(huey).kind(key) in (Kind.TOKEN, Kind.PAUSE)


def find_task_state(
    huey: Any,
    task_id: str,
    ledger: Ledger,
    locks: Iterable[LockInfo] | None,
    formatter: FormatArguments | None,
) -> TaskState:
    """Return where a task is; workers that have just taken it may not have written so yet.

    Args:
        huey: The Huey.
        task_id: The id of the task.
        ledger: The ledger of its queue.
        locks: The known locks of the queue; searched in the store if missing.
        formatter: Formats the arguments of the task; None to hide them.
    """
    explanation = explain(huey, task_id, ledger=ledger, patience=0.0, locks=locks)
    keys = [TOKEN + task_id]
    keys += [PAUSE + explanation.task_name] if explanation.task_name else []
    *values, record = open_store(huey).get([*keys, DJANGO + task_id])
    pairs = list(zip(keys, values, strict=True))
    digests = {key: digest(raw) for key, raw in pairs if raw is not None}
    reader = Reader(huey)
    foreign = frozenset(key for key, raw in pairs if raw is not None and not reader.is_token(raw))
    return TaskState(
        replace(explanation, arguments=None),
        digests,
        foreign,
        record is not None,
        describe_arguments(formatter, explanation),
    )


def read_pause(huey: Any, name: str) -> Pause | None:
    """Return the pause switch of the tasks with a name; None if there is none."""
    (raw,) = open_store(huey).get([PAUSE + name])
    if raw is None:
        return None
    reader = Reader(huey)
    if not reader.is_token(raw):
        return Pause(None, False, False, False, digest(raw))
    until, once = reader.value(raw)
    try:
        is_over = not once and until is not None and until <= huey._get_timestamp()
    except TypeError:  # it has a time zone, so Huey has not written it
        is_over = False
    return Pause(until, once, is_over, True, digest(raw))
