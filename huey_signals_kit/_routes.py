"""Connects the chosen sinks to one kit's counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ._tick import Jobs
from .sinks.chosen import interval_of, sink_name
from .sinks.protocol import Sink, View
from .sinks.push import Push
from .sinks.readings import Totals


class SinkRoutes:
    """Starts views and puts the others on the tick; it is their `Source` as well."""

    def __init__(
        self,
        sinks: list[Sink | View],
        queue: str,
        totals: Callable[[], Totals],
        revision: Callable[[], int],
        jobs: Jobs,
    ) -> None:
        self.queue = queue
        self.totals = totals
        self.every = partial(jobs.every, apart=True)  # a folder may hang as well
        self._revision = revision
        self._jobs = jobs
        self._sinks = sinks
        self._started: list[View] = []

    def install(self) -> None:
        """Start every sink."""
        for sink in self._sinks:
            if isinstance(sink, View):
                self._started.append(sink)
                sink.start(self)
            else:
                interval = interval_of(sink)
                push = Push(sink, self.totals, self._revision, interval)
                name = sink_name(sink)
                self._jobs.every(interval, push, name, apart=True, when=push.is_wanted)

    def uninstall(self) -> None:
        """Stop every sink that was started."""
        while self._started:
            self._started.pop().stop(self)
