"""Ctrl-C and its like: the first ends the work, later ones cannot cut the tidying short."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The user, or the system, wants this process to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class Interrupts:
    """Within this block a signal that ends processes raises `Interrupted`, the first time.

    What was ignored before, as under ``nohup``, stays ignored.
    """

    def __init__(self) -> None:
        self._ignoring = False
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
        # Once interrupted, this process is about to end: let nothing disturb that.
        ending = isinstance(exc, Interrupted)
        for signum, handler in self._before.items():
            signal.signal(signum, signal.SIG_IGN if ending else handler)

    def ignore(self) -> None:
        """From here on only tidying up is left, which is short and not to be interrupted."""
        self._ignoring = True

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if not self._ignoring:
            self._ignoring = True
            raise Interrupted(signum)
