"""The interfaces of sinks, and of the counts that they read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

from ..metrics.values import Key, Sample, Totals

DEFAULT_INTERVAL = 10.0
"""Seconds between two calls of a sink that has no attribute `interval`."""


@runtime_checkable
class Sink(Protocol):
    """An object that gets what was counted; any object with this method is a sink.

    An attribute `interval` sets the seconds between two calls; without it they are 10.
    """

    def send(self, changes: list[Sample], /) -> object:
        """Send what was added since the last call that succeeded.

        If this returns False or raises an exception, the next call gets the changes again. An
        exception is also logged.
        """


class Source(Protocol):
    """The counts of one kit in this process, as a pull sink reads them."""

    @property
    def queue(self) -> str:
        """The name of the queue, as a label."""

    @property
    def storage(self) -> str:
        """The class of the storage, as a label."""

    def totals(self) -> Totals:
        """Return everything that was counted."""

    def initial_keys(self) -> list[Key]:
        """Return the series to show at zero until they are counted."""

    def every(self, interval: float, do: Callable[[], object], name: str) -> None:
        """Run a job on the scheduler, and once more when the process ends.

        Args:
            interval: Seconds between two runs.
            do: The job.
            name: The name of the job in logs.
        """


class PullSink(ABC):
    """A built-in sink that reads totals when it is asked for them, as by a scrape.

    Both methods are called under the configuration lock, so never at the same time.
    """

    @abstractmethod
    def start(self, source: Source, /) -> None:
        """Show a source until `stop`; a sink may show several sources."""

    @abstractmethod
    def stop(self, source: Source, /) -> None:
        """Stop showing a source; also called after `start` has raised an exception."""


SinkName = Literal["auto", "memory", "prometheus", "opentelemetry", "sentry"]
AnySink = SinkName | Sink | PullSink
"""An item of ``sinks=``: a name, a user's own sink, or a built-in one."""
