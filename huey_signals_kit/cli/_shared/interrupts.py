"""Signals that end a process, such as Ctrl-C, turned into an exception."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from .terminal import show_cursor

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The user or the system asks this process to end."""

    def __init__(self, signum: int) -> None:
        """Name the signal.

        Args:
            signum: Number of the signal.
        """
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.work_done = ""
        """What the command had done before, for a message; empty if it changes nothing."""


class Interrupts:
    """A block in which the first signal that ends processes raises `Interrupted`.

    By default the second signal ends the process immediately, even while it waits for a storage
    that does not answer. A signal that was ignored before, as under ``nohup``, stays ignored.
    """

    def __init__(self, *, is_cleanup_protected: bool = False) -> None:
        """Prepare the handlers; entering the block sets them.

        Args:
            is_cleanup_protected: Ignore signals after the first, so that cleaning up, which must be
                short then, is not cut off.
        """
        self._handler_afterwards = signal.SIG_IGN if is_cleanup_protected else signal.SIG_DFL
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        """Set the handlers."""
        for signum in _SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:
                self._previous[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the handlers, unless the process was interrupted and is about to end."""
        if not isinstance(exc, Interrupted):
            for signum, handler in self._previous.items():
                signal.signal(signum, handler)

    def ignore(self) -> None:
        """Ignore these signals from now on: only cleaning up is left, which is short."""
        self._set_handlers(signal.SIG_IGN)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self._set_handlers(self._handler_afterwards)
        show_cursor()  # a second signal would end the process before the progress bar does
        raise Interrupted(signum)

    def _set_handlers(self, handler: Any) -> None:
        for signum in self._previous:
            signal.signal(signum, handler)
