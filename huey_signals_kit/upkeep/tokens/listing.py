"""Revoke tokens and pause switches one by one: listed, looked up, deleted by name.

A pattern is the id of a task, the name of one (``module.name``), or a glob over these; also with
what stands before it in the store, ``r:`` or ``rt:``. What a person names is deleted whatever it
is, live ones included: so all that is told before is how many of which sort there are.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from ..._checks import check_huey, validate_flag
from ...ledger import Ledger, UnreadableLedger, open_ledger
from ...store import UPKEEP, open_kit_store, open_store
from ...store.keys import PAUSE, TOKEN, Keys, Kind, is_generated
from ...store.protocol import Entry, Store
from ...store.reader import Reader, ReadMessage, Unreadable
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
    """The tokens of one Huey that match *patterns*, or all; ``states`` as of when it was made.

    Read a batch at a time, so memory grows with the tasks that there are, not with the tokens.
    """

    def __init__(self, huey: Any, patterns: Sequence[str] = ()) -> None:
        huey = check_huey(huey, "TokenList()")
        self._huey = huey
        self._store: Store = open_store(huey)
        self._reader = Reader(huey)
        self._keys = Keys(huey)
        self._now = huey._get_timestamp()
        self._patterns = patterns
        self._globs = {each: _compiled(each) for each in patterns if _GLOB.search(each)}
        self.unmatched = dict.fromkeys(patterns)
        self.scanned = 0
        self.complete = True
        """Whether all could be read that says which tasks there are."""
        self._last: tuple[bytes, tuple[datetime | None, bool]] = (b"", (None, False))
        self._live_ids = LiveTaskIds(self._store, open_ledger(huey), self._reader.ids)

    def refresh(self) -> None:
        """See which tasks there are: what is read from now on is told by these."""
        try:
            self._live_ids.refresh()
        except UnreadableLedger:
            self.complete = False
        self.complete &= self._live_ids.complete

    def batches(self) -> Iterator[list[TokenInfo]]:
        """What matches; pause switches first, and none twice unless Redis gives it twice."""
        self.refresh()
        named = [each for each in self._patterns if each not in self._globs]
        some = [info for info in map(self._matching, self._named(named)) if info]
        if some:
            yield some
        if named and not self._globs:
            return
        for prefix in (PAUSE, TOKEN):
            for batch in self._store.entries(prefix):
                found = (self._matching(entry) for entry in batch)
                yield [each for each in found if each and not self._is_one_of(named, each)]

    def __iter__(self) -> Iterator[TokenInfo]:
        for batch in self.batches():
            yield from batch

    def _named(self, names: list[str]) -> Iterator[Entry]:
        keys = dict.fromkeys(
            key
            for name in names
            for key in (name, PAUSE + name, TOKEN + name)
            if key.startswith((PAUSE, TOKEN))
        )
        for key, value in zip(keys, self._store.get(list(keys)) if keys else (), strict=True):
            if value is not None:
                yield Entry(key, value, len(key.encode("utf-8", "surrogateescape")) + len(value))

    def _matching(self, entry: Entry) -> TokenInfo | None:
        kind = self._keys.kind(entry.key)
        if kind not in (Kind.TOKEN, Kind.PAUSE):
            return None
        self.scanned += 1
        name = entry.key[len(PAUSE if kind is Kind.PAUSE else TOKEN) :]
        if self._patterns and not self._is_named(entry.key, name):
            return None
        return self._info(entry, kind, name)

    def _is_named(self, key: str, name: str) -> bool:
        hits = [each for each in self._patterns if self._hits(each, key, name)]
        for each in hits:
            self.unmatched.pop(each, None)
        return bool(hits)

    def _hits(self, pattern: str, key: str, name: str) -> bool:
        glob = self._globs.get(pattern)
        found = pattern in (name, key)
        return found or (glob is not None and bool(glob(name) or glob(key)))

    def _is_one_of(self, names: list[str], info: TokenInfo) -> bool:
        return info.name in names or info.entry.key in names

    def _info(self, entry: Entry, kind: Kind, name: str) -> TokenInfo:
        if not self._reader.is_token(entry.value):
            return TokenInfo(name, str(kind), UNREADABLE, None, False, entry)
        until, once = self._said(entry.value)
        state = self._of_task(name) if kind is Kind.TOKEN else self._of_pause(name, until, once)
        return TokenInfo(name, str(kind), state, until, once, entry)

    def _said(self, value: bytes) -> tuple[datetime | None, bool]:
        if value != self._last[0]:  # most are the very same bytes
            self._last = (value, self._reader.value(value))
        return self._last[1]

    def _of_task(self, task_id: str) -> str:
        if self._live_ids.has(task_id):
            return LIVE
        if not self.complete:
            return UNKNOWN
        return ORPHANED if is_generated(task_id) else CUSTOM

    def _of_pause(self, name: str, until: datetime | None, once: bool) -> str:
        try:
            if not once and until is not None and until <= self._now:
                return EXPIRED
        except TypeError:  # with a time zone: not as Huey writes it
            pass
        return OWNERLESS if is_declared(self._huey, name) is False else ACTIVE


def delete_named_tokens(
    huey: Any,
    patterns: Sequence[str],
    dry_run: bool = False,
    *,
    progress: Callable[[TokensDeleted], object] | None = None,
) -> TokensDeleted:
    """Delete the tokens and pause switches that *patterns* name, unless they change meanwhile.

    Live ones as well: their tasks run then. `TokensStopped` if the storage goes away half way.
    """
    validate_flag(dry_run, "dry_run= of delete_named_tokens()")
    tokens, store = TokenList(huey, patterns), open_store(huey)
    found: Counter[str] = Counter()
    states: Counter[str] = Counter()

    def report() -> TokensDeleted:
        unmatched = tuple(tokens.unmatched)
        return TokensDeleted(
            tokens.scanned, **found, states=dict(states), unmatched=unmatched, dry_run=dry_run
        )

    try:
        for batch in tokens.batches():
            pairs = [(each.entry.key, each.entry.value) for each in batch]
            gone = len(pairs) if dry_run else len(store.compare_and_delete_many(pairs))
            stopping = sum(each.stops for each in batch)
            found.update(matched=len(batch), stopping=stopping, deleted=gone)
            found["changed"] += len(pairs) - gone
            states.update(each.state for each in batch)
            if progress is not None:
                progress(report())
    except Exception as exc:
        raise TokensStopped(str(huey.name), report(), exc) from exc
    return report()


def find_task(huey: Any, task_id: str, ledger: Ledger | None = None) -> list[TaskLocation]:
    """Where the task *task_id* was seen, itself or nested in another one."""
    store, reader = open_store(huey), Reader(huey)
    found = []
    for place, batches in (("schedule", store.scheduled()), ("queue", store.queued())):
        for message in _messages(batches, reader):
            if task_id in message.ids:
                found.append(TaskLocation(place, message.name, message.id != task_id))
    for process in (ledger or open_ledger(huey)).snapshot().processes:
        for task in () if process.gone else process.heartbeat.running:
            if task_id in (task.task_id, *task.nested):
                found.append(TaskLocation("running", task.task_name, task.task_id != task_id))
    return found


def next_sweep(huey: Any, min_age: float) -> datetime | None:
    """When the oldest mark is *min_age* seconds old, so that a sweep deletes its token."""
    _, oldest = marks.summary(open_kit_store(huey, UPKEEP))
    try:
        return None if oldest is None else datetime.fromtimestamp(oldest + min_age, timezone.utc)
    except (OverflowError, ValueError, OSError):  # whatever somebody has written there
        return None


def _messages(batches: Iterable[list[bytes]], reader: Reader) -> Iterator[ReadMessage]:
    for batch in batches:
        for raw in batch:
            with suppress(Unreadable):
                yield reader.message(raw)


def _compiled(glob: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(glob)).match
