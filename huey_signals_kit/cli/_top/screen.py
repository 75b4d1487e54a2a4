"""A full screen in the terminal, which is left as it was before."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from .._shared.exits import CommandError
from .._shared.interrupts import Interrupted, Interrupts
from .._shared.storage_errors import describe_error
from .keyboard import Keyboard

_DEFAULT_SIZE = 80, 24
_PAUSE_SECONDS = 0.1


class FullScreen(Interrupts):
    """The terminal of stdout, with an alternate screen that shows only what `draw` was given.

    A Unix signal handler that raises would cut off an escape sequence that is being written, and
    leave the terminal in a wrong state. So the first signal is only noted, and `pause` raises
    `Interrupted`. The second raises immediately, in case writing blocks. After Ctrl-Z and ``fg``
    the screen is opened again.
    """

    def __init__(self) -> None:
        """Prepare the screen; `opened` shows it."""
        super().__init__()
        self._console = Console(highlight=False, markup=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._received = 0
        self._should_suspend = False
        self._was_continued = False
        self.keyboard = Keyboard()
        self._descriptor = sys.stdout.fileno()

    @property
    def size(self) -> tuple[int, int]:
        """Present columns and lines; LINES and COLUMNS do not follow changes of the window."""
        with suppress(OSError, ValueError):
            width, height = os.get_terminal_size(self._descriptor)
            if width and height:
                return width, height
        return _DEFAULT_SIZE

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Show the screen while the block runs."""
        with self:
            on_suspend = signal.signal(signal.SIGTSTP, self._receive_suspend)
            on_quit = signal.signal(signal.SIGQUIT, self._receive)
            on_continue = signal.signal(signal.SIGCONT, self._receive_continue)
            try:
                self._open()
                yield
            finally:
                self._close()
                signal.signal(signal.SIGTSTP, on_suspend)
                signal.signal(signal.SIGQUIT, on_quit)
                signal.signal(signal.SIGCONT, on_continue)

    def draw(self, lines: Sequence[Text], size: tuple[int, int]) -> None:
        """Show `lines`.

        Args:
            lines: One line of text per line of the screen.
            size: Columns and lines of the screen.

        Raises:
            CommandError: The terminal is gone.
        """
        self._console.size = ConsoleDimensions(*size)
        try:
            self._live.update(Group(*lines), refresh=True)
        except OSError as exc:
            raise CommandError(f"cannot write to the terminal: {describe_error(exc)}") from None

    def pause(self) -> list[str] | None:
        """Wait for a moment, and return the keys typed in that time.

        None means that the screen was cleared and must be drawn again.

        Raises:
            Interrupted: A signal that ends the process has arrived.
        """
        keys = self.keyboard.read(_PAUSE_SECONDS)
        if self._received:
            self.ignore()
            raise Interrupted(self._received)
        if not (self._should_suspend or self._was_continued):
            return keys
        self._close()
        if self._should_suspend:
            self._suspend()
        self._was_continued = False
        self._open()
        return None

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self._received:
            super()._receive(signum, frame)
        self._received = signum

    def _receive_suspend(self, signum: int, frame: FrameType | None) -> None:
        self._should_suspend = True

    def _receive_continue(self, signum: int, frame: FrameType | None) -> None:
        # After SIGSTOP, a shell has changed the settings of the terminal.
        self._was_continued = True

    def _suspend(self) -> None:
        """Stop this process as Ctrl-Z does, until ``fg``."""
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        self._should_suspend = False
        signal.signal(signal.SIGTSTP, handler)

    def _open(self) -> None:
        self.keyboard.open()
        self._live.start()

    def _close(self) -> None:
        # Writing fails if the terminal is gone, as after SIGHUP.
        with suppress(OSError, ValueError):
            self._live.stop()
        self.keyboard.close()
