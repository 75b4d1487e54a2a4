"""A screen of its own in the terminal, which is left as it was found."""

from __future__ import annotations

import os
import signal
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from .._shared.exits import CommandError
from .._shared.interrupts import Interrupted, Interrupts
from .._shared.storage_errors import reason

_USUAL_SIZE = 80, 24
_WAKES_SECONDS = 0.1


class FullScreen(Interrupts):
    """Within this block the terminal of stdout shows what `draw` was given, and nothing else.

    A signal that ends processes is raised by `pause`, as `Interrupted`: so nothing that is
    being written to the terminal is cut short. The second is raised at once. After Ctrl-Z and
    ``fg`` the screen is there again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(highlight=False, markup=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._received = 0
        self._stopping = False
        self._echo: list[Any] | None = None
        self._descriptor = sys.stdout.fileno()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines as they are now."""
        # Not what LINES and COLUMNS say: these stay as they are when the window changes.
        with suppress(OSError, ValueError):
            width, height = os.get_terminal_size(self._descriptor)
            if width and height:
                return width, height
        return _USUAL_SIZE

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The block itself."""
        with self:
            before = signal.signal(signal.SIGTSTP, self._stop)
            quits = signal.signal(signal.SIGQUIT, self._receive)
            try:
                self._open()
                yield
            finally:
                self._close()
                signal.signal(signal.SIGTSTP, before)
                signal.signal(signal.SIGQUIT, quits)

    def draw(self, lines: Sequence[Text], size: tuple[int, int]) -> None:
        """Have *lines* on the screen, which has this *size*; `CommandError` if it is gone."""
        self._console.size = ConsoleDimensions(*size)
        try:
            self._live.update(Group(*lines), refresh=True)
        except OSError as exc:
            raise CommandError(f"cannot write to the terminal: {reason(exc)}") from None

    def pause(self) -> bool:
        """Wait for a moment; whether the screen has to be drawn anew, whatever is on it."""
        time.sleep(_WAKES_SECONDS)
        if self._received:
            self.ignore()
            raise Interrupted(self._received)
        if not self._stopping:
            return False
        self._suspend()
        return True

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self._received:
            super()._receive(signum, frame)
        self._received = signum

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _suspend(self) -> None:
        self._close()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        self._stopping = False
        signal.signal(signal.SIGTSTP, ours)
        self._open()

    def _open(self) -> None:
        self._echo = _silence()
        self._live.start()

    def _close(self) -> None:
        # A terminal that is gone, as after SIGHUP, takes nothing more.
        with suppress(OSError, ValueError):
            self._live.stop()
        if self._echo is not None:
            with suppress(OSError, ValueError, termios.error):
                # What was typed meanwhile was not for the shell.
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSAFLUSH, self._echo)
            self._echo = None


def _silence() -> list[Any] | None:
    """Have keys not shown on the screen; how it was before, None where nobody types."""
    try:
        before = termios.tcgetattr(sys.stdin.fileno())
        silent = [*before]
        silent[3] &= ~termios.ECHO
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, silent)
    except (OSError, ValueError, termios.error):
        return None
    return before
