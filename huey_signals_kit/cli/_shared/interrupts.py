"""Ctrl-C and its like: the first ends the work, the second whatever is left of it."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

from .terminal import show_cursor

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The user, or the system, wants this process to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Interrupts:
    """Within this block a signal that ends processes raises `Interrupted`, the first time.

    The second ends this process at once, whatever it is waiting for: a storage that hangs, say.
    With *tidying*, which must be short, later ones are ignored instead, so that nothing cuts it
    short. What was ignored before, as under ``nohup``, stays ignored.
    """

    def __init__(self, *, tidying: bool = False) -> None:
        self._later = signal.SIG_IGN if tidying else signal.SIG_DFL
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        for signum in _SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:
                self._before[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Once interrupted, this process is about to end, and later signals stay as they are.
        if not isinstance(exc, Interrupted):
            for signum, handler in self._before.items():
                signal.signal(signum, handler)

    def ignore(self) -> None:
        """From here on only tidying up is left, which is short and not to be interrupted."""
        self._set(signal.SIG_IGN)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self._set(self._later)
        show_cursor()  # a process that is ended at once does not
        raise Interrupted(signum)

    def _set(self, handler: Any) -> None:
        for each in self._before:
            signal.signal(each, handler)
