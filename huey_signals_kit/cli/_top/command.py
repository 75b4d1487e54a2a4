"""The options and exit codes of ``huey-signals top``, and its loop."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from ...upkeep.monitor.background_read import BackgroundRead
from ...upkeep.monitor.poller import Poller
from .._shared.command import AsJson, HueyName, command_context, print_json
from .._shared.durations import format_span, zone_of
from .._shared.exits import UsageError
from .._shared.progress import progress
from .._shared.storage_errors import describe_storage, is_storage_failure, storage_failure
from .._shared.terminal import console, output_width
from .controls import Controls
from .reading import Update, UpdateReader
from .screen import FullScreen
from .view import render

DEFAULT_SECONDS = 2.0
_MIN_SECONDS, _MAX_SECONDS = 0.1, 3600.0
_SILENT_SECONDS = 5.0
"""Seconds without an answer after which the screen says so."""
_WAIT_SECONDS = 0.5
_FILL_SECONDS = 0.3
"""Seconds between two updates until the whole store was read once."""

HELP = """\b
Running tasks and counts are from the last heartbeat of each process, which it
writes every 5 seconds. Rates are of the last 15 seconds. "-" means unknown:
"done" is counted only with sinks= in install_handlers(). "~" before a time
means: by the clock of another host. The lines "done", "errors" and "refused"
(attempts to get a held lock) have one character per minute; the rightmost is
the current minute.

\b
Keys:
  q                       quit
  up, down, k, j          scroll by a line; PgUp, PgDn, Home, End by more
  Tab                     switch between processes and locks
  p, t, n, s              sort by process, running time, name, skips

\b
Exit codes:
  0    ended by q, or done with --once or --json
  1    the storage failed at the start; later the command waits for it
  2    usage error, for example no such Huey
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
        float, typer.Option(metavar="SECONDS", help="Time between two updates.")
    ] = DEFAULT_SECONDS,
    once: Annotated[bool, typer.Option("--once", help="Print one update and exit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show live which tasks run where, and who holds which lock.

    Nothing is changed. Reading the whole store, and searching it for locks, each use at most 10 %
    of the running time. If the output is not a terminal, the command prints one update and exits.
    """
    with command_context("top", huey_name) as huey:
        # Checked here, because the range check of typer accepts nan.
        if not _MIN_SECONDS <= interval <= _MAX_SECONDS:
            limits = f"{_MIN_SECONDS:g} to {_MAX_SECONDS:g}"
            raise UsageError(f"--interval takes {limits} seconds; got {interval:g}")
        poller = Poller(huey)
        if as_json:
            with progress("reading the store"):
                content = poller.poll(None).as_dict()
            print_json(content)
        elif once or not _is_terminal():
            _print_once(huey, UpdateReader(huey, poller))
        else:
            _LiveView(huey, UpdateReader(huey, poller), interval).run()


def _print_once(huey: Any, reader: UpdateReader) -> None:
    with progress("reading the store"):
        update = reader.read(None)
    lines = render(
        update.snapshot,
        describe_storage(huey.storage),
        output_width(),
        pauses=update.pauses,
        history=update.history,
        zone=zone_of(huey),
    )
    for line in lines:
        typer.echo(line.plain.rstrip())


def _is_terminal() -> bool:
    """Return whether stdout is a terminal; not by rich alone, which believes FORCE_COLOR."""
    return sys.stdout.isatty() and console().is_interactive


class _LiveView:
    """A view that is updated until the user ends it.

    The poller runs on a thread of its own. So a storage that does not answer delays neither Ctrl-C
    nor a change of the window's size, and the screen says for how long it has been silent.
    """

    def __init__(self, huey: Any, reader: UpdateReader, interval: float) -> None:
        """Prepare the view.

        Args:
            huey: The Huey.
            reader: Reads its state.
            interval: Seconds between two updates.
        """
        self._huey = huey
        self._interval = interval
        self._polls: BackgroundRead[Update] = BackgroundRead(reader.read, "state of the queue")
        self._is_polling = False
        self._next = 0.0
        self._problem = ""
        self._update: Update | None = None
        self._controls = Controls()

    def run(self) -> None:
        """Show updates until the user quits.

        Raises:
            Interrupted: A signal ended the view.
            Exception: The first poll raised it. Errors of later polls are shown on the screen.
        """
        self._accept(self._first_poll())
        screen, drawn = FullScreen(), None
        with screen.opened():
            while not self._controls.should_quit:
                size, problem = screen.size, self._current_problem()
                state = self._update, problem, size, self._controls.presses
                if state != drawn:
                    self._draw(screen, problem, size)
                keys = screen.pause()
                drawn = None if keys is None else state
                for key in keys or ():
                    self._controls.press(key)
                self._step()

    def _first_poll(self) -> Update:
        with progress("reading the store"):
            self._polls.request()
            # Python handles a signal only between two waits, so each is short.
            while not self._polls.wait(_WAIT_SECONDS):
                pass
            return self._polls.result()

    def _accept(self, update: Update) -> None:
        self._update, self._problem = update, ""
        wait = self._interval if update.snapshot.complete else min(self._interval, _FILL_SECONDS)
        self._next = time.monotonic() + wait

    def _step(self) -> None:
        """Accept a poll that has ended, and start the next one if it is due."""
        if self._is_polling and self._polls.wait(0):
            self._is_polling = False
            try:
                self._accept(self._polls.result())
            except Exception as exc:
                if not is_storage_failure(self._huey, exc):
                    raise
                self._problem = str(storage_failure(self._huey, exc))
                self._next = time.monotonic() + self._interval
        if not self._is_polling and time.monotonic() >= self._next:
            self._polls.request()
            self._is_polling = True

    def _current_problem(self) -> str:
        silent = self._polls.seconds_since_start() if self._is_polling else 0.0
        if silent >= max(_SILENT_SECONDS, self._interval):
            storage = describe_storage(self._huey.storage)
            return f"{storage} has not answered for {format_span(silent)}"
        return self._problem

    def _draw(self, screen: FullScreen, problem: str, size: tuple[int, int]) -> None:
        assert self._update is not None
        width, height = size
        lines = render(
            self._update.snapshot,
            describe_storage(self._huey.storage),
            width,
            height,
            problem,
            pauses=self._update.pauses,
            history=self._update.history,
            zone=zone_of(self._huey),
            controls=self._controls,
            has_keys=screen.keyboard.has_keys,
        )
        screen.draw(lines, size)
