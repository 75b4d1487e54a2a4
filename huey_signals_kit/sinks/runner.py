"""Connect the configured sinks to the counts of one kit."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

from ..dispatch.receiver import HandlerSource
from ..dispatch.reporter import RECORD, subscriber_names
from ..huey_internals.django_tasks import BACKEND
from ..huey_internals.facts import declared_tasks, known_locks
from ..metrics.counter import MetricCounter
from ..metrics.initial import MAX_LOCKS, initial_keys
from ..metrics.labels import sanitize_label
from ..metrics.values import Key
from ..runtime.scheduler import JobGroup
from ._delta_sender import DeltaSender
from .configured import interval_of, sink_name
from .protocol import PullSink, Sink


class SinkRunner:
    """The component that starts pull sinks, and schedules calls of the others.

    It is also the `Source` that the pull sinks read.

    Args:
        huey: The Huey.
        sinks: The configured sinks.
        counter: Everything that the kit has counted in this process.
        handler_source: Has the handlers of the kit, whose series are shown at zero.
        jobs: The jobs of the kit.
    """

    def __init__(
        self,
        huey: Any,
        sinks: list[Sink | PullSink],
        counter: MetricCounter,
        handler_source: HandlerSource,
        jobs: JobGroup,
    ) -> None:
        self._huey = huey
        self.queue = sanitize_label(huey.name)
        self._lock_labels = counter.lock_labels
        self._handler_source = handler_source
        self.totals = counter.totals
        # On a thread of their own, because a folder of Prometheus may hang as a storage may.
        self.every = partial(jobs.every, own_thread=True)
        self._revision = counter.revision
        self._jobs = jobs
        self._sinks = sinks
        self._started: list[PullSink] = []

    @property
    def storage(self) -> str:
        """The class of the storage, as a label."""
        return type(self._huey.storage).__name__

    def initial_keys(self, locks: Iterable[str] = ()) -> list[Key]:
        """Return the series of the known tasks, locks, handlers, sinks and subscribers.

        Args:
            locks: Further names of locks.
        """
        tasks, locks = declared_tasks(self._huey), {*known_locks(self._huey, MAX_LOCKS), *locks}
        handlers = {
            handler.name: handler.background is not None
            for handler in self._handler_source.handlers
        }
        others = [sink_name(sink).replace(" ", "_") for sink in self._sinks]
        others += subscriber_names(self._huey)
        if BACKEND in sys.modules:
            others.append(RECORD)
        named = (dict.fromkeys(others, False) | handlers).items()
        return initial_keys(self.queue, tasks, locks, named, self._lock_labels)

    def install(self) -> None:
        """Start every sink."""
        for sink in self._sinks:
            if isinstance(sink, PullSink):
                self._started.append(sink)
                sink.start(self)
            else:
                interval = interval_of(sink)
                sender = DeltaSender(sink, self.totals, self._revision, interval)
                name = sink_name(sink)
                self._jobs.every(interval, sender, name, own_thread=True, when=sender.is_wanted)

    def uninstall(self) -> None:
        """Stop every pull sink that was started; the jobs of the others end with the kit's jobs."""
        while self._started:
            self._started.pop().stop(self)
