"""What a sink is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

from ..metrics.values import Key, Sample, Totals

DEFAULT_INTERVAL = 10.0
"""Seconds between two calls of a sink that has no ``interval``."""


@runtime_checkable
class Sink(Protocol):
    """Takes what was counted; any object with this method is one.

    An attribute ``interval`` has the seconds between two calls, 10 without it.
    """

    def send(self, changes: list[Sample], /) -> object:
        """Take *changes*, what was added since it last took some.

        To be given them again with the next: return False, or raise, which is logged as well.
        """


class Source(Protocol):
    """What a view is given: one kit's counts in this process."""

    @property
    def queue(self) -> str: ...
    def totals(self) -> Totals: ...
    def initial_keys(self) -> list[Key]:
        """Return the series to show at zero until they are counted."""

    def every(self, interval: float, do: Callable[[], object], name: str) -> None:
        """Do *do* on the tick, and once more when the process ends."""


class PullSink(ABC):
    """A built-in sink that reads totals when somebody asks it (a scrape, a reader).

    Both methods are called with the lock of all registries held, so never at the same time.
    """

    @abstractmethod
    def start(self, source: Source, /) -> None:
        """Show *source*, until `stop`; one view may have several."""

    @abstractmethod
    def stop(self, source: Source, /) -> None:
        """Show *source* no more; also called when `start` has raised."""


SinkName = Literal["auto", "memory", "prometheus", "opentelemetry", "sentry"]
AnySink = SinkName | Sink | PullSink
"""What ``sinks=`` takes, alone or in a list: a name, a sink of one's own, a built-in one."""
