"""A terminal for commands that draw: a pseudo terminal, and what a person would see on it."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.cells import cell_len

from tests.support import wait_until

_PART = re.compile(
    r"\x1b\[(?P<given>[?\d;]*)(?P<code>[A-Za-z])|(?P<move>[\r\n])|(?P<text>[^\x1b\r\n]+)"
    r"|(?P<odd>\x1b)",
    re.DOTALL,
)


class Screen:
    """What is on it after all that was fed: it knows the codes of a full screen of rich's."""

    def __init__(self) -> None:
        self.alternate = False
        self.cursor = True
        self.widest = 0
        self.tallest = 0
        self.odd: list[str] = []
        """What else was written while the full screen was shown."""
        self._rows: list[str] = [""]
        self._rest = ""

    def feed(self, text: str) -> None:
        """What a program has written; a code may come in two parts."""
        text = self._rest + text
        self._rest = ""
        if (found := re.search(r"\x1b(\[[?\d;]*)?\Z", text)) is not None:
            text, self._rest = text[: found.start()], found[0]
        for part in _PART.finditer(text):
            if part["odd"]:
                self._wonder(text[part.start() : part.start() + 20])
            elif part["code"]:
                self._obey(part["given"], part["code"])
            elif part["move"]:
                self._move(part["move"])
            else:
                self._write(part["text"])

    def _obey(self, given: str, code: str) -> None:
        if (given, code) == ("", "H"):
            self._rows = [""]
        elif given == "?1049":
            self.alternate = code == "h"
        elif given == "?25":
            self.cursor = code == "h"
        elif code != "m":
            self._wonder(f"{given}{code}")

    def _move(self, character: str) -> None:
        if character == "\n":
            self._rows.append("")
            if self.alternate:
                self.tallest = max(self.tallest, len(self._rows))

    def _wonder(self, what: str) -> None:
        if self.alternate:
            self.odd.append(what)

    def _write(self, text: str) -> None:
        for each in text:
            if not each.isprintable():
                self._wonder(each)
        self._rows[-1] += text
        if self.alternate:
            self.widest = max(self.widest, cell_len(self._rows[-1]))

    @property
    def lines(self) -> list[str]:
        """Those of the last picture, which may not be complete."""
        return [row.rstrip() for row in self._rows]


class Terminal:
    """A command on a terminal of its own, which is the one that its signals come from."""

    def __init__(self, start: Callable[..., subprocess.Popen[Any]], columns: int, rows: int):
        self._ours, self._theirs = os.openpty()
        self.resize(columns, rows)
        self.before = self.attributes
        self.screen, self._whole = Screen(), ""
        self.process = start(
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def resize(self, columns: int, rows: int) -> None:
        """As when somebody drags its window."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def attributes(self) -> list[Any]:
        """Its settings."""
        return termios.tcgetattr(self._theirs)

    @property
    def left_as_found(self) -> bool:
        """Whether nothing is different from before."""
        screen = self.screen
        return self.attributes == self.before and screen.cursor and not screen.alternate

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with suppress(OSError):
            while data := os.read(self._ours, 65536):
                text = decoder.decode(data)
                self._whole += text
                self.screen.feed(text)

    @property
    def raw(self) -> str:
        """All that was written."""
        return self._whole

    @property
    def text(self) -> str:
        """What is to be seen."""
        return "\n".join(self.screen.lines)

    def shows(self, *words: str, seconds: float = 30) -> str:
        """Waits until all of *words* are on the screen; the text of it."""
        try:
            return wait_until(self._has(words), seconds, f"{words} on the screen")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.text}") from None

    def _has(self, words: tuple[str, ...]) -> Callable[[], str]:
        def seen() -> str:
            text = self.text
            return text if all(each in text for each in words) else ""

        return seen

    def type(self, keys: str) -> None:
        """On its keyboard."""
        os.write(self._ours, keys.encode())

    def unread(self) -> bytes:
        """What was typed and the command has not read: the shell would get it."""
        os.set_blocking(self._theirs, False)
        try:
            return os.read(self._theirs, 1000)
        except BlockingIOError:
            return b""

    def end(self, signum: int | None = None) -> int:
        """The exit code, after this signal, with all that was written read."""
        if signum is not None:
            self.process.send_signal(signum)
        code = self.process.wait(30)
        wait_until(lambda: not self.screen.alternate, 10, f"the end of {self.text!r}")
        return code

    def hang_up(self) -> int:
        """As when its window is closed; the exit code."""
        os.close(self._theirs)
        master, self._ours, self._theirs = self._ours, -1, -1
        os.close(master)
        return self.process.wait(30)

    def close(self) -> None:
        """Ends the command, if it has not ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        with suppress(OSError):
            os.close(self._theirs)
        # Whoever still reads would read what the next file of that number has.
        self._reading.join(30)
        with suppress(OSError):
            os.close(self._ours)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(
    start: Callable[..., subprocess.Popen[Any]], columns: int = 80, rows: int = 24
) -> Iterator[Terminal]:
    """*start* is called with the options for `subprocess.Popen`."""
    found = Terminal(start, columns, rows)
    try:
        yield found
    finally:
        found.close()
