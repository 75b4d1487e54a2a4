"""List, look up and delete single revoke tokens and pause switches.

A pattern is the id of a task, the name of a task (``module.name``), or a glob over these, with or
without the prefix of the key in the store, ``r:`` or ``rt:``. Whatever a person names is deleted,
live tokens included. So the caller reports first how many tokens of which state match.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from ..._checks import check_huey, validate_flag
from ...huey_internals.django_tasks import name_in_message
from ...ledger import Ledger, UnreadableLedger, open_ledger
from ...store import UPKEEP, open_kit_store, open_store
from ...store.keys import PAUSE, TOKEN, Keys, Kind, is_generated
from ...store.protocol import Entry, Store
from ...store.reader import Reader, ReadMessage, Unreadable
from .._common import to_datetime
from .._live_ids import LiveTaskIds
from .._task_registry import is_declared
from . import marks
from .info import (
    ACTIVE,
    CUSTOM,
    EXPIRED,
    LIVE,
    ORPHANED,
    OWNERLESS,
    UNKNOWN,
    UNREADABLE,
    TaskLocation,
    TokenInfo,
    TokensDeleted,
    TokensStopped,
)

_GLOB = re.compile(r"[*?\[]")


class TokenList:
    """The tokens and pause switches of one Huey that match a pattern.

    They are read in batches, so memory grows with the number of tasks that can still run, not with
    the number of tokens.

    Args:
        huey: The Huey.
        patterns: The patterns; none matches everything.
    """

    def __init__(self, huey: Any, patterns: Sequence[str] = ()) -> None:
        huey = check_huey(huey, "TokenList()")
        self._huey = huey
        self._store: Store = open_store(huey)
        self._reader = Reader(huey)
        self._keys = Keys(huey)
        self._now = huey._get_timestamp()
        self._patterns = patterns
        self._globs = {pattern: _compile(pattern) for pattern in patterns if _GLOB.search(pattern)}
        self.unmatched = dict.fromkeys(patterns)
        """The patterns that no token has matched so far."""
        self.scanned = 0
        """The number of tokens read so far."""
        self.is_complete = True
        """Whether all messages and records could be read, so that a token without a task is known
        to be orphaned."""
        self._last: tuple[bytes, tuple[datetime | None, bool]] = (b"", (None, False))
        self._live_ids = LiveTaskIds(self._store, open_ledger(huey), self._reader.ids)

    def refresh(self) -> None:
        """Read which tasks can still run; the states of tokens read later depend on these."""
        try:
            self._live_ids.refresh()
        except UnreadableLedger:
            self.is_complete = False
        self.is_complete &= self._live_ids.is_complete

    def batches(self) -> Iterator[list[TokenInfo]]:
        """Yield the matching tokens, pause switches first.

        A scan of Redis may return a token twice; otherwise each token comes once.
        """
        self.refresh()
        names = [pattern for pattern in self._patterns if pattern not in self._globs]
        named = [token for token in map(self._match, self._entries_named(names)) if token]
        if named:
            yield named
        if names and not self._globs:
            return
        for prefix in (PAUSE, TOKEN):
            for batch in self._store.entries(prefix):
                tokens = (self._match(entry) for entry in batch)
                yield [token for token in tokens if token and not self._is_named(names, token)]

    def __iter__(self) -> Iterator[TokenInfo]:
        for batch in self.batches():
            yield from batch

    def _entries_named(self, names: list[str]) -> Iterator[Entry]:
        """Yield the entries of names that are no globs, without reading all tokens."""
        keys = dict.fromkeys(
            key
            for name in names
            for key in (name, PAUSE + name, TOKEN + name)
            if key.startswith((PAUSE, TOKEN))
        )
        for key, value in zip(keys, self._store.get(list(keys)) if keys else (), strict=True):
            if value is not None:
                yield Entry(key, value, len(key.encode("utf-8", "surrogateescape")) + len(value))

    def _match(self, entry: Entry) -> TokenInfo | None:
        """Count an entry; return it as a token if a pattern matches it."""
        kind = self._keys.kind(entry.key)
        if kind not in (Kind.TOKEN, Kind.PAUSE):
            return None
        self.scanned += 1
        name = entry.key[len(PAUSE if kind is Kind.PAUSE else TOKEN) :]
        if self._patterns and not self._matches_any(entry.key, name):
            return None
        return self._info(entry, kind, name)

    def _matches_any(self, key: str, name: str) -> bool:
        matching = [pattern for pattern in self._patterns if self._matches(pattern, key, name)]
        for pattern in matching:
            self.unmatched.pop(pattern, None)
        return bool(matching)

    def _matches(self, pattern: str, key: str, name: str) -> bool:
        glob = self._globs.get(pattern)
        is_equal = pattern in (name, key)
        return is_equal or (glob is not None and bool(glob(name) or glob(key)))

    def _is_named(self, names: list[str], token: TokenInfo) -> bool:
        return token.name in names or token.entry.key in names

    def _info(self, entry: Entry, kind: Kind, name: str) -> TokenInfo:
        if not self._reader.is_token(entry.value):
            return TokenInfo(name, str(kind), UNREADABLE, None, False, entry)
        until, once = self._content(entry.value)
        if kind is Kind.TOKEN:
            state = self._token_state(name)
        else:
            state = self._pause_state(name, until, once)
        return TokenInfo(name, str(kind), state, until, once, entry)

    def _content(self, value: bytes) -> tuple[datetime | None, bool]:
        """Return until when a token stops its task, and whether for one run only."""
        if value != self._last[0]:  # nearly all tokens have the same bytes
            self._last = (value, self._reader.value(value))
        return self._last[1]

    def _token_state(self, task_id: str) -> str:
        if self._live_ids.has(task_id):
            return LIVE
        if not self.is_complete:
            return UNKNOWN
        return ORPHANED if is_generated(task_id) else CUSTOM

    def _pause_state(self, name: str, until: datetime | None, once: bool) -> str:
        try:
            if not once and until is not None and until <= self._now:
                return EXPIRED
        except TypeError:  # it has a time zone, so Huey has not written it
            pass
        return OWNERLESS if is_declared(self._huey, name) is False else ACTIVE


def delete_named_tokens(
    huey: Any,
    patterns: Sequence[str],
    dry_run: bool = False,
    *,
    on_progress: Callable[[TokensDeleted], object] | None = None,
) -> TokensDeleted:
    """Delete the tokens and pause switches that match a pattern, unless they change meanwhile.

    This includes live tokens, whose tasks can run then.

    Args:
        huey: The Huey.
        patterns: Ids or names of tasks, or globs over these.
        dry_run: Only report what would be deleted.
        on_progress: Called repeatedly with the report so far.

    Raises:
        TokensStopped: It failed halfway, as when the storage became unreachable.
    """
    validate_flag(dry_run, "dry_run= of delete_named_tokens()")
    tokens, store = TokenList(huey, patterns), open_store(huey)
    counts: Counter[str] = Counter()
    states: Counter[str] = Counter()

    def report() -> TokensDeleted:
        unmatched = tuple(tokens.unmatched)
        return TokensDeleted(
            tokens.scanned, **counts, states=dict(states), unmatched=unmatched, dry_run=dry_run
        )

    try:
        for batch in tokens.batches():
            pairs = [(token.entry.key, token.entry.value) for token in batch]
            deleted = len(pairs) if dry_run else len(store.compare_and_delete_many(pairs))
            stopping = sum(token.is_stopping for token in batch)
            counts.update(matched=len(batch), stopping=stopping, deleted=deleted)
            counts["changed"] += len(pairs) - deleted
            states.update(token.state for token in batch)
            if on_progress is not None:
                on_progress(report())
    except Exception as exc:
        raise TokensStopped(str(huey.name), report(), exc) from exc
    return report()


def find_task(huey: Any, task_id: str, ledger: Ledger | None = None) -> list[TaskLocation]:
    """Return the places of a task, itself or nested in another one.

    Args:
        huey: The Huey.
        task_id: The id of the task.
        ledger: The ledger of the queue; opened if missing.
    """
    store, reader = open_store(huey), Reader(huey)
    locations = []
    for place, batches in (("schedule", store.scheduled()), ("queue", store.queued())):
        for message in _messages(batches, reader):
            if task_id in message.ids:
                name = name_in_message(message.fields)
                locations.append(TaskLocation(place, name, message.id != task_id))
    for process in (ledger or open_ledger(huey)).snapshot().processes:
        for task in () if process.gone else process.heartbeat.running:
            if task_id in (task.task_id, *task.nested):
                locations.append(TaskLocation("running", task.task_name, task.task_id != task_id))
    return locations


def next_sweep(huey: Any, min_age: float) -> datetime | None:
    """Return the time from which on a sweep deletes the token with the oldest mark.

    Args:
        huey: The Huey.
        min_age: The age of a mark after which its token is deleted, in seconds.
    """
    _, oldest = marks.summary(open_kit_store(huey, UPKEEP))
    return None if oldest is None else to_datetime(oldest + min_age)


def _messages(batches: Iterable[list[bytes]], reader: Reader) -> Iterator[ReadMessage]:
    """Yield the messages that can be read."""
    for batch in batches:
        for raw in batch:
            with suppress(Unreadable):
                yield reader.message(raw)


def _compile(glob: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(glob)).match
