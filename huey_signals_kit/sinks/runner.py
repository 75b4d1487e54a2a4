"""Connects the chosen sinks to one kit's counts."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..dispatch.receiver import HandlerSource
from ..huey_internals.facts import declared_tasks, known_locks
from ..metrics.counter import MetricCounter
from ..metrics.initial import MOST_LOCKS, initial_keys
from ..metrics.labels import sanitize_label
from ..metrics.values import Key
from ..runtime.scheduler import JobGroup
from ._delta_sender import DeltaSender
from .configured import interval_of, sink_name
from .protocol import PullSink, Sink


class SinkRunner:
    """Starts views and puts the others on the tick; it is their `Source` as well."""

    def __init__(
        self,
        huey: Any,
        sinks: list[Sink | PullSink],
        counts: MetricCounter,
        source: HandlerSource,
        jobs: JobGroup,
    ) -> None:
        self._huey = huey
        self.queue = sanitize_label(huey.name)
        self._labels = counts.lock_labels
        self._source = source
        self.totals = counts.totals
        self.every = partial(jobs.every, own_thread=True)  # a folder may hang as well
        self._revision = counts.revision
        self._jobs = jobs
        self._sinks = sinks
        self._started: list[PullSink] = []

    def initial_keys(self) -> list[Key]:
        """Return the series of the known tasks, locks and handlers, for views."""
        tasks, locks = declared_tasks(self._huey), known_locks(self._huey, MOST_LOCKS)
        handlers = [(each.name, each.background is not None) for each in self._source.handlers]
        return initial_keys(self.queue, tasks, locks, handlers, self._labels)

    def install(self) -> None:
        """Start every sink."""
        for sink in self._sinks:
            if isinstance(sink, PullSink):
                self._started.append(sink)
                sink.start(self)
            else:
                interval = interval_of(sink)
                push = DeltaSender(sink, self.totals, self._revision, interval)
                name = sink_name(sink)
                self._jobs.every(interval, push, name, own_thread=True, when=push.is_wanted)

    def uninstall(self) -> None:
        """Stop every sink that was started."""
        while self._started:
            self._started.pop().stop(self)
