"""``huey-signals top``."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from .._locks.view import short_span
from .._shared.background_read import BackgroundRead
from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.exits import WrongUse
from .._shared.progress import waiting
from .._shared.storage_errors import describe_storage, failure, is_failure
from .._shared.terminal import WIDTH, console
from .model import QueueSnapshot
from .poller import Poller
from .screen import FullScreen
from .view import screen

DEFAULT_SECONDS = 2.0
_LEAST_SECONDS, _MOST_SECONDS = 0.1, 3600.0
_SILENT_SECONDS = 5.0
_WAIT_SECONDS = 0.5
_FILL_SECONDS = 0.3
"""Seconds between two updates until the whole store was read once."""
_WIDEST = 120
"""Longer lines are no easier to read."""

HELP = """\b
What runs, and what was counted, is what each process said last: it does so
every 5 seconds. Rates are those of the last 15. A - stands where nobody knows:
what is done is counted only with sinks= in install_handlers(). A ~ stands
before times by the clock of another host.

\b
Exit codes:
  0    done, with --once or --json
  1    the storage cannot be used; later it is waited for
  2    wrong use: there is no such Huey, say
  130  ended by Ctrl-C

\b
Examples:
  huey-signals top tasks.huey
  huey-signals top tasks.huey --interval 10
  huey-signals top tasks.huey --once >now.txt
  huey-signals top tasks.huey --json | python -m json.tool
"""


def top(
    huey_name: HueyName,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="Look again after so long.")
    ] = DEFAULT_SECONDS,
    once: Annotated[bool, typer.Option("--once", help="Print it once and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show live which tasks run where, and who holds which lock.

    Nothing is changed. All of the store is read for at most a tenth of the time. Where the
    output is no terminal, it is printed once.
    """
    with command_context("top", huey_name) as huey:
        # Not by typer: it lets nan through.
        if not _LEAST_SECONDS <= interval <= _MOST_SECONDS:
            limits = f"{_LEAST_SECONDS:g} to {_MOST_SECONDS:g}"
            raise WrongUse(f"--interval takes {limits} seconds; got {interval:g}")
        poller = Poller(huey)
        if as_json:
            print_json(_once(poller).as_dict())
        elif once or not _is_watched():
            for line in screen(_once(poller), describe_storage(huey.storage), WIDTH):
                typer.echo(line.plain.rstrip())
        else:
            _Watching(huey, poller, interval).run()


def _once(poller: Poller) -> QueueSnapshot:
    with waiting("reading the store"):
        return poller.poll(None)


def _is_watched() -> bool:
    # Not by rich alone: FORCE_COLOR makes a terminal of everything.
    return sys.stdout.isatty() and console().is_interactive


class _Watching:
    """Looks again and again, on a thread of its own, so that a storage that hangs holds up nothing.

    *interval* is how many seconds there are between two looks.
    """

    def __init__(self, huey: Any, poller: Poller, interval: float) -> None:
        self._huey = huey
        self._interval = interval
        self._looks: BackgroundRead[QueueSnapshot] = BackgroundRead(
            poller.poll, "look at the queue"
        )
        self._waits = False
        self._next = 0.0
        self._problem = ""
        self._seen: QueueSnapshot | None = None

    def run(self) -> None:
        """Until `Interrupted`; what the first look raises comes through."""
        self._take(self._first())
        full, drawn = FullScreen(), None
        with full.shown():
            while True:
                state = self._seen, self._told(), full.size
                if state != drawn:
                    self._draw(full, *state)
                drawn = None if full.pause() else state
                self._go_on()

    def _first(self) -> QueueSnapshot:
        with waiting("reading the store"):
            self._looks.ask()
            # Not for ever: a signal that comes just before such a wait is not heard during it.
            while not self._looks.wait(_WAIT_SECONDS):
                pass
            return self._looks.last()

    def _take(self, seen: QueueSnapshot) -> None:
        self._seen, self._problem = seen, ""
        wait = self._interval if seen.complete else min(self._interval, _FILL_SECONDS)
        self._next = time.monotonic() + wait

    def _go_on(self) -> None:
        if self._waits and self._looks.wait(0):
            self._waits = False
            try:
                self._take(self._looks.last())
            except Exception as exc:
                if not is_failure(self._huey, exc):
                    raise
                self._problem = str(failure(self._huey, exc))
                self._next = time.monotonic() + self._interval
        if not self._waits and time.monotonic() >= self._next:
            self._looks.ask()
            self._waits = True

    def _told(self) -> str:
        silent = self._looks.age() if self._waits else 0.0
        if silent >= max(_SILENT_SECONDS, self._interval):
            return (
                f"{describe_storage(self._huey.storage)} has not answered for {short_span(silent)}"
            )
        return self._problem

    def _draw(
        self, full: FullScreen, seen: QueueSnapshot | None, problem: str, size: tuple[int, int]
    ) -> None:
        assert seen is not None
        width, height = size
        where = describe_storage(self._huey.storage)
        full.draw(screen(seen, where, min(width, _WIDEST), height, problem), size)
