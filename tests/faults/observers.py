"""Handlers, a sink, subscribers and a Sentry that raise or hang while a fault says so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from huey_signals_kit.signals import lock_skipped, result_suppressed, task_revoked

RAISE, HANG, SENTRY = "raise", "hang", "sentry"
LONGEST_SECONDS = 60
"""After which a hanging observer goes on, whatever happens to the run."""


class Trouble:
    """The switch of all observers: a file whose text is one of `RAISE`, `HANG` and `SENTRY`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "trouble"

    def set(self, what: str) -> None:
        """Switch to this."""
        self._path.write_text(what)

    def clear(self) -> None:
        """Let every observer go on."""
        self._path.unlink(missing_ok=True)

    def is_now(self, what: str) -> bool:
        """Return whether the switch says this."""
        try:
            return self._path.read_text() == what
        except OSError:
            return False

    def hang(self, what: str) -> None:
        """Wait as long as the switch says this."""
        end = time.monotonic() + LONGEST_SECONDS
        while self.is_now(what) and time.monotonic() < end:
            time.sleep(0.2)


class Observers:
    """A sink; `connect` adds handlers and subscribers."""

    name, interval = "observers", 1.0

    def __init__(self, folder: Path) -> None:
        self._trouble = Trouble(folder)

    def send(self, changes: list[Any]) -> None:
        """Take nothing of it."""
        self._observe()

    def _observe(self, *_: Any, **__: Any) -> None:
        if self._trouble.is_now(RAISE):
            raise RuntimeError("an observer that raises")
        self._trouble.hang(HANG)

    def connect(self, huey: Any, kit: Any) -> None:
        """Connect a handler of every signal, one in the background, and three subscribers."""
        kit.on(name="observer")(lambda event: self._observe())
        kit.on(name="background observer", background=True)(lambda event: self._observe())
        for signal in (lock_skipped, result_suppressed, task_revoked):
            signal.connect(self._observe, sender=huey, weak=False)


def start_sentry(folder: Path) -> None:
    """Start a Sentry whose transport sends nothing, and can block."""
    import sentry_sdk
    from sentry_sdk.integrations.huey import HueyIntegration
    from sentry_sdk.transport import Transport

    trouble = Trouble(folder)

    class Blocking(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            trouble.hang(SENTRY)

    sentry_sdk.init(
        "http://key@127.0.0.1/1",
        transport=Blocking,
        integrations=[HueyIntegration()],
        default_integrations=False,
    )
