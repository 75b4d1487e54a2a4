"""Read a page of ``recipes/`` and do what it says: write its files, run its commands.

- A block of code below a line that begins with a file's name is the content of that file.
- A block of commands below "Terminal 1" or "Terminal 2" is a server, which goes on running. Several
  below each other for one terminal are alternatives.
- Other commands are run in order, in one shell for each block. "Stop Terminal 2" stops that server.
- A block of text shows lines that the commands before it print, in this order; "…" is anything.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import free_port
from tests.support import tail, wait_until

RECIPES = Path(__file__).parents[2] / "recipes"
PORT = "8000"
START_SECONDS = 60
STOP_SECONDS = 30
PRINTED_WITHIN = 20
"""Seconds within which a command that only reads shows what the page promises."""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of a page, and the paragraph above it."""

    language: str
    above: str
    text: str

    @property
    def file(self) -> str | None:
        """The file whose content this is."""
        named = re.match(r"`([\w./-]+)`[:,]", self.above)
        return named[1] if named and self.language in ("python", "yaml") else None

    @property
    def terminal(self) -> int | None:
        """The terminal in which these commands go on running."""
        named = re.search(r"Terminal ([12]),", self.above) if self.language == "sh" else None
        return int(named[1]) if named else None

    @property
    def stops(self) -> int | None:
        """The terminal that is stopped before these commands are run."""
        named = re.match(r"Stop Terminal (\d)", self.above)
        return int(named[1]) if named else None

    @property
    def installs(self) -> bool:
        """Whether these commands make the environment, which tests have already."""
        return self.language == "sh" and "pip install" in self.text


def blocks_of(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    text = (RECIPES / page).read_text()
    found, end = [], 0
    for match in _FENCE.finditer(text):
        above = text[end : match.start()].strip().split("\n\n")[-1]
        found.append(Block(match[1], above.replace("\n", " "), match[2]))
        end = match.end()
    return found


def sections_of(page: str) -> dict[str, list[Block]]:
    """The blocks of the parts of a page that start servers anew, by heading."""
    text = (RECIPES / page).read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    counts = [len(_FENCE.findall(part)) for part in parts[2::2]]
    blocks, sections, current = iter(blocks_of(page)), {}, ""
    for heading, count in zip(parts[1::2], counts, strict=True):
        own = [next(blocks) for _ in range(count)]
        if any(block.terminal for block in own) or not current:
            sections[current := heading] = []
        sections[current] += own
    return sections


def alternatives(blocks: list[Block], terminal: int = 2) -> list[Block]:
    """The servers among which the reader may choose."""
    return [block for block in blocks if block.terminal == terminal]


def without_others(blocks: list[Block], chosen: Block | None) -> list[Block]:
    """The blocks, with one server for Terminal 2."""
    return [block for block in blocks if block.terminal != 2 or block is chosen]


@dataclass
class Server:
    """A command that goes on running in a terminal."""

    process: subprocess.Popen[bytes]
    log: Path
    is_web: bool

    def stop(self) -> None:
        """Stop it as a service manager stops a web server, or as Ctrl-C stops the others."""
        if self.process.poll() is None:
            if self.is_web and "flask" not in str(self.process.args):
                self.process.terminate()
            else:
                os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Leave no process of it behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Reader:
    """A person in an empty folder who does what a page says.

    `installs` says whether also the environment is made as the page says; else it is that of the
    tests.
    """

    folder: Path
    installs: bool = False
    port: str = field(default_factory=lambda: str(free_port()))
    servers: dict[int, Server] = field(default_factory=dict)
    printed: str = ""

    def __post_init__(self) -> None:
        environment = self.folder / ".venv"
        if not (self.installs or environment.exists()):
            environment.symlink_to(sys.prefix)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COVERAGE"))},
            "PATH": f"{environment}/bin:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(environment),
            "COLUMNS": "80",
            "HUEY_SIGNALS_RUN_DIR": str(self.folder / "run"),
        }

    def follow(self, blocks: list[Block]) -> None:
        """Do everything that the blocks say."""
        for number, block in enumerate(blocks):
            shown = blocks[number + 1].text if blocks[number + 1 :] else ""
            has_output = bool(shown) and blocks[number + 1].language == "text"
            if block.file is not None:
                (self.folder / block.file).write_text(block.text)
            elif block.terminal is not None:
                self.serve(block)
            elif block.installs:
                if self.installs:
                    self.install(block.text)
            elif block.language == "sh":
                if block.stops is not None:
                    self.servers[block.stops].stop()
                self.do(block.text, shown if has_output else "")

    def install(self, commands: str) -> None:
        """Make the environment, with this checkout for the package that a page names."""
        python = f"{sys.base_prefix}/bin/python3"
        self.run(
            f"set -e\n{commands}".replace("'huey-signals-kit", f"'{RECIPES.parent}").replace(
                "python3", python, 1
            )
        )

    def do(self, commands: str, shown: str = "") -> None:
        """Run commands; those that only read are repeated until they print what is shown."""
        reading = ("huey-signals", "curl -s 127.0.0.1")
        only_read = all(line.startswith(reading) for line in commands.splitlines())
        deadline = time.monotonic() + PRINTED_WITHIN
        while True:
            self.printed = self.run(commands)
            missing = missing_lines(shown, self.printed)
            if not missing:
                return
            if not only_read or time.monotonic() > deadline:
                logs = "".join(tail(server.log) for server in self.servers.values())
                raise AssertionError(
                    f"{commands}\ndid not print {missing}, but\n{self.printed}{logs}"
                )
            time.sleep(0.2)

    def run(self, commands: str) -> str:
        """Run commands in one shell, and return what they print."""
        ran = subprocess.run(
            ["bash", "-c", commands.replace(PORT, self.port)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return ran.stdout

    def serve(self, block: Block) -> None:
        """Start a server, and wait until it is up."""
        command = block.text.strip().replace(PORT, self.port)
        log = self.folder / f"terminal{block.terminal}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        is_web = PORT in block.text
        server = self.servers[block.terminal or 0] = Server(process, log, is_web)
        wait_until(lambda: self._is_up(server), START_SECONDS, f"{command} to be up", log)

    def _is_up(self, server: Server) -> bool:
        assert server.process.poll() is None, f"it ended{tail(server.log)}"
        if not server.is_web:
            return "+ tasks." in server.log.read_text()
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", int(self.port))) == 0

    def logs(self) -> str:
        """What the servers have printed."""
        return "".join(log.read_text() for log in sorted(self.folder.glob("terminal*.log")))


@contextmanager
def reader_in(folder: Path, installs: bool = False) -> Iterator[Reader]:
    """A reader whose servers are stopped in the end."""
    reader = Reader(folder, installs)
    try:
        yield reader
        for server in reader.servers.values():
            server.stop()
    finally:
        for server in reader.servers.values():
            server.kill()


def missing_lines(shown: str, printed: str) -> list[str]:
    """The shown lines that were not printed, in this order, whatever the spaces between words."""
    lines = iter([" ".join(line.split()) for line in printed.splitlines()])
    missing = []
    for line in filter(None, map(str.strip, shown.splitlines())):
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))
        if not any(re.fullmatch(pattern, printed_line) for printed_line in lines):
            missing.append(line)
            break
    return missing
