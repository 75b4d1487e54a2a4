"""Looks for one task in the schedule and the queue, in the messages of others too."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ...store import Reader, ReadMessage, Store, Unreadable
from .model import ARGUMENT, NESTED, QUEUE, SCHEDULE, Explanation, Place
from .nested import ChordConfig, Found, find_in

MOST_PLACES = 100
"""How many places are told; a chord's callback stands in each of its parts."""

_MOST_ALIKE = 3
_ALIKE = 8
"""So many characters at the beginning or the end make ids look alike."""

_PRIORITY = 5


class MessageSearch:
    """Fills *found* with the places of its task; *progress* is told how many messages were read."""

    def __init__(
        self,
        store: Store,
        reader: Reader,
        found: Explanation,
        progress: Callable[[int], object],
    ) -> None:
        self._store = store
        self._reader = reader
        self._found = found
        self._progress = progress
        self.member_of: ChordConfig | None = None
        self.called_by: ChordConfig | None = None

    def run(self) -> None:
        """In the direction in which tasks move, so that none is missed that moves meanwhile."""
        for message in self._messages(self._store.scheduled(), SCHEDULE):
            place = message and self._place(SCHEDULE, message)
            if place:
                self._add(place)
        self._queue()

    def _queue(self) -> None:
        there: Counter[float] = Counter()
        hits: deque[tuple[Place, float, int]] = deque()
        for message in self._messages(self._store.queued(), QUEUE):
            priority = 0.0 if message is None else _priority(message)
            place = message and self._place(QUEUE, message)
            if place:
                hits.append((place, priority, there[priority]))
                if len(hits) > MOST_PLACES:
                    # Those that are taken first stay.
                    hits.popleft() if self._store.newest_first else hits.pop()
                    self._found.more += 1
            there[priority] += 1
        places = [
            self._numbered(place, passed, priority, there) for place, priority, passed in hits
        ]
        for place in sorted(places, key=lambda each: each.before or 0):
            self._add(place)

    def _numbered(self, place: Place, passed: int, priority: float, there: Counter[float]) -> Place:
        """With its number in the queue, where *passed* of its *priority* were read before it."""
        urgent = sum(count for each, count in there.items() if each > priority)
        others = there[priority] - 1
        if self._store.newest_first is None:
            return replace(place, before=urgent, before_most=urgent + others)
        before = others - passed if self._store.newest_first else passed
        return replace(place, before=urgent + before, before_most=urgent + before)

    def _messages(self, batches: Iterator[list[bytes]], where: str) -> Iterator[ReadMessage | None]:
        """Each message; None for one that cannot be read."""
        looked = self._found.looked
        for batch in batches:
            if where == QUEUE:
                looked.queued += len(batch)
            else:
                looked.scheduled += len(batch)
            for raw in batch:
                try:
                    message = self._reader.message(raw)
                except Unreadable:
                    looked.unreadable += 1
                    yield None
                else:
                    self.note_alike(message.ids)
                    yield message
            self._progress(looked.scheduled + looked.queued)

    def _place(self, where: str, message: ReadMessage) -> Place | None:
        if self._found.task_id not in message.ids:
            return None
        nested = find_in(message.fields, self._found.task_id)
        if nested is not None:
            self._known_as(nested)
        # Messages of another class than Huey's, which a user's serializer has made, are not known.
        unseen = NESTED if self._reader.is_trusted else ARGUMENT
        path = (unseen,) if nested is None else nested.path
        return Place(where, message.name, message.id, path, eta=message.eta)

    def _known_as(self, nested: Found) -> None:
        self._found.task_name = nested.task_name
        self.member_of = self.member_of or nested.member_of
        self.called_by = self.called_by or nested.called_by

    def _add(self, place: Place) -> None:
        if len(self._found.places) < MOST_PLACES:
            self._found.places.append(place)
        else:
            self._found.more += 1

    def note_alike(self, ids: Iterable[str]) -> None:
        """Those of *ids* that the one that is looked for may have been meant to be."""
        given, alike = self._found.task_id, self._found.alike
        if len(given) < _ALIKE or len(alike) >= _MOST_ALIKE:
            return
        for each in ids:
            same = each[:_ALIKE] == given[:_ALIKE] or each[-_ALIKE:] == given[-_ALIKE:]
            if same and each != given and each not in alike:
                alike.append(each)


def _priority(message: ReadMessage) -> float:
    given: Any = message.fields[_PRIORITY] if len(message.fields) > _PRIORITY else None
    return float(given) if isinstance(given, (int, float)) and given == given else 0.0
