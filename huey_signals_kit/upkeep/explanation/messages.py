"""Search the schedule and the queue for one task, also inside the messages of other tasks."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ...huey_internals.django_tasks import name_in_message
from ...store import Reader, ReadMessage, Store, Unreadable
from .model import ARGUMENT, NESTED, QUEUE, SCHEDULE, Explanation, Location
from .nested import ChordConfig, NestedTask, find_in

MAX_LOCATIONS = 100
"""The number of locations that are listed; a chord's callback is in the message of each part."""

_MAX_SIMILAR = 3
_SIMILAR_LENGTH = 8
"""Ids with this number of equal characters at the beginning or at the end are similar."""

_PRIORITY = 5
"""The index of the field in Huey's Message."""


class MessageSearch:
    """The search for one task, which adds what it finds to an explanation.

    Args:
        store: The store of the queue.
        reader: The reader of the Huey.
        explanation: Has the id of the task; gets its locations, its name and the counts.
        on_progress: Called repeatedly with the number of messages read so far.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        explanation: Explanation,
        on_progress: Callable[[int], object],
    ) -> None:
        self._store = store
        self._reader = reader
        self._explanation = explanation
        self._on_progress = on_progress
        self.member_of: ChordConfig | None = None
        """The chord of which the task is a part."""
        self.called_by: ChordConfig | None = None
        """The chord of which the task is the callback."""

    def run(self) -> None:
        """Search the schedule, then the queue, so that a task that moves meanwhile is found."""
        for message in self._messages(self._store.scheduled(), SCHEDULE):
            location = message and self._location(SCHEDULE, message)
            if location:
                self._add(location)
        self._search_queue()

    def _search_queue(self) -> None:
        """Search the queue, and determine how many messages are dequeued before each location.

        A message with a higher priority is dequeued first, whatever the order in which the storage
        returns the messages. So the messages are counted by priority, and the numbers are
        determined when all are read.
        """
        by_priority: Counter[float] = Counter()
        hits: deque[tuple[Location, float, int]] = deque()
        for message in self._messages(self._store.queued(), QUEUE):
            priority = 0.0 if message is None else _priority(message)
            location = message and self._location(QUEUE, message)
            if location:
                hits.append((location, priority, by_priority[priority]))
                if len(hits) > MAX_LOCATIONS:
                    # Keep those that are dequeued first.
                    hits.popleft() if self._store.newest_first else hits.pop()
                    self._explanation.more += 1
            by_priority[priority] += 1
        locations = [
            self._with_number(location, passed, priority, by_priority)
            for location, priority, passed in hits
        ]
        for location in sorted(locations, key=lambda location: location.before or 0):
            self._add(location)

    def _with_number(
        self, location: Location, passed: int, priority: float, by_priority: Counter[float]
    ) -> Location:
        """Return a location with the number of messages that are dequeued before it.

        Args:
            location: The location.
            passed: The number of messages of the same priority that were read before it.
            priority: The priority of its message.
            by_priority: The number of messages of each priority.
        """
        urgent = sum(count for other, count in by_priority.items() if other > priority)
        others = by_priority[priority] - 1
        if self._store.newest_first is None:  # the storage does not define the order
            return replace(location, before=urgent, before_most=urgent + others)
        before = others - passed if self._store.newest_first else passed
        return replace(location, before=urgent + before, before_most=urgent + before)

    def _messages(self, batches: Iterator[list[bytes]], where: str) -> Iterator[ReadMessage | None]:
        """Count and yield each message; yield None for a message that cannot be read."""
        counts = self._explanation.looked
        for batch in batches:
            if where == QUEUE:
                counts.queued += len(batch)
            else:
                counts.scheduled += len(batch)
            for raw in batch:
                try:
                    message = self._reader.message(raw)
                except Unreadable:
                    counts.unreadable += 1
                    yield None
                else:
                    self.note_similar((message.id,))
                    yield message
            self._on_progress(counts.scheduled + counts.queued)

    def _location(self, where: str, message: ReadMessage) -> Location | None:
        if self._explanation.task_id not in message.ids:
            return None
        task = find_in(message.fields, self._explanation.task_id)
        if task is not None:
            self._note_task(task)
        # A user's serializer can make messages of another class, in which tasks are not found.
        unknown = NESTED if self._reader.is_trusted else ARGUMENT
        path = (unknown,) if task is None else task.path
        name = name_in_message(message.fields)
        return Location(where, name, message.id, path, eta=message.eta)

    def _note_task(self, task: NestedTask) -> None:
        self._explanation.task_name = task.task_name
        self._explanation.arguments = task.arguments
        self.member_of = self.member_of or task.member_of
        self.called_by = self.called_by or task.called_by

    def _add(self, location: Location) -> None:
        if len(self._explanation.places) < MAX_LOCATIONS:
            self._explanation.places.append(location)
        else:
            self._explanation.more += 1

    def note_similar(self, task_ids: Iterable[str]) -> None:
        """Add ids to the explanation that are similar to the one that is searched."""
        given, similar = self._explanation.task_id, self._explanation.alike
        if len(given) < _SIMILAR_LENGTH or len(similar) >= _MAX_SIMILAR:
            return
        beginning, end = given[:_SIMILAR_LENGTH], given[-_SIMILAR_LENGTH:]
        for task_id in task_ids:
            is_similar = task_id.startswith(beginning) or task_id.endswith(end)
            if is_similar and task_id != given and task_id not in similar:
                similar.append(task_id)


def _priority(message: ReadMessage) -> float:
    priority: Any = message.fields[_PRIORITY] if len(message.fields) > _PRIORITY else None
    is_number = isinstance(priority, (int, float)) and priority == priority  # not NaN
    return float(priority) if is_number else 0.0
