"""The keys that a person types while the screen is shown."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from contextlib import suppress
from typing import Any

try:
    import termios
except ImportError:  # not on Windows; then there are no keys
    termios = None  # type: ignore[assignment]

_NAMES = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1bOH": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1bOF": "end",
    "\x1b[4~": "end",
    "\t": "tab",
}
_KEY = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)|[^\x1b]", re.DOTALL)
_START = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_MAX_BYTES = 1024


class Keyboard:
    """The terminal of stdin, read key by key and without an echo.

    Keys that send signals, such as Ctrl-C and Ctrl-Z, still send them. If stdin is not a terminal,
    there are no keys.
    """

    def __init__(self) -> None:
        """Prepare the keyboard; `open` changes the settings of the terminal."""
        self._settings_before: list[Any] | None = None
        self._descriptor: int | None = None
        self._rest = ""

    @property
    def has_keys(self) -> bool:
        """Whether keys can be read."""
        return self._descriptor is not None

    def open(self) -> None:
        """Turn off the echo and line buffering (canonical mode)."""
        if termios is None:
            return
        try:
            descriptor = sys.stdin.fileno()
            before = termios.tcgetattr(descriptor)
            silent = [*before]
            silent[3] &= ~(termios.ECHO | termios.ICANON)
            silent[6] = [*before[6]]
            silent[6][termios.VMIN], silent[6][termios.VTIME] = 1, 0
            termios.tcsetattr(descriptor, termios.TCSADRAIN, silent)
        except (OSError, ValueError, termios.error):
            return
        self._settings_before, self._descriptor, self._rest = before, descriptor, ""

    def close(self) -> None:
        """Restore the settings of the terminal."""
        if self._settings_before is not None:
            with suppress(OSError, ValueError, termios.error):
                # TCSAFLUSH discards what was typed meanwhile: it was not meant for the shell.
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSAFLUSH, self._settings_before)
        self._settings_before = self._descriptor = None

    def read(self, seconds: float) -> list[str]:
        """Wait up to `seconds` for keys; return their characters, or names such as ``page up``."""
        if self._descriptor is None:
            time.sleep(seconds)
            return []
        try:
            if not select.select([self._descriptor], [], [], seconds)[0]:
                return []
            typed = os.read(self._descriptor, _MAX_BYTES)
        except (OSError, ValueError):
            typed = b""
        if not typed:  # the terminal is gone
            self._descriptor = None
            return []
        return self._parse(typed.decode("utf-8", "replace"))

    def _parse(self, text: str) -> list[str]:
        """Return the keys in `text`; the code of a key may come in two parts."""
        text, self._rest = self._rest + text, ""
        if start := _START.search(text):
            text, self._rest = text[: start.start()], start[0]
        return [_NAMES.get(key, key) for key in _KEY.findall(text)]
