"""The application of the lock soak: who holds a lock proves that nobody else does."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path

from huey.api import Huey
from huey.signals import SIGNAL_LOCKED

from huey_signals_kit import install_handlers
from tests.support import Place

FOLDER = "HUEY_KIT_TEST_FOLDER"
WORKERS, HELD, SKIPPED = "soak-workers", "soak-held", "soak-skipped"
AFTER, TWICE = "soak-after", "soak-twice"


def note(huey: Huey, what: str, value: object) -> None:
    """Write it down in Redis."""
    huey.storage.conn.rpush(f"{what}:{huey.storage.name}", str(value))


def noted(huey: Huey, what: str) -> list[str]:
    """All that was written down so."""
    return [
        each.decode() for each in huey.storage.conn.lrange(f"{what}:{huey.storage.name}", 0, -1)
    ]


def declare(huey: Huey):
    """A task that holds the lock *name* for so many *seconds*."""

    @huey.task(name="guarded")
    def guarded(name, seconds):
        with huey.lock_task(name), exclusive_file(huey, name):
            note(huey, HELD, name)
            time.sleep(seconds)

    return guarded


@contextmanager
def exclusive_file(huey: Huey, name: str):
    """Nobody else has the file of the lock *name*; else that is written down.

    It is a symbolic link whose target is the process: unlike a file that is created and then
    written, it says from its first moment whose it is, also when that is killed. It is removed
    before the lock is freed. So whatever is there when the lock was taken is of a process that
    was killed, and is gone, or else there are two holders.
    """
    path, me = Path(os.environ[FOLDER]) / name, _started(os.getpid())
    try:
        os.symlink(me, path)
    except FileExistsError:
        try:
            other = os.readlink(path)
            if _started(int(other.split()[0])) == other:
                note(huey, TWICE, f"{name}: {me} has got it while {other} held it")
            # If two come here at once, one of them finds that it is not its own any more.
            os.unlink(path)
            os.symlink(me, path)
            note(huey, AFTER, name)
        except OSError as exc:
            note(huey, TWICE, f"{name}: {me} has got it while somebody held it, {exc}")
    yield
    try:
        mine = os.readlink(path) == me
        os.unlink(path)
    except OSError:
        mine = False
    if not mine:
        note(huey, TWICE, f"{name}: somebody has got it while {me} held it")


def _started(pid: int) -> str:
    """Which process has that number by now, as ``PID START``; empty if none has that can run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    # What was killed, and was not waited for, is there as a zombie.
    return "" if fields[0] in (b"Z", b"X") else f"{pid} {int(fields[19])}"


if "HUEY_KIT_TEST_KIND" in os.environ:
    parts = ("KIND", "LOCATION", "NAME")
    huey = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    declare(huey)
    huey.on_startup()(lambda: note(huey, WORKERS, os.getpid()))
    huey.signal(SIGNAL_LOCKED)(lambda signal, task: note(huey, SKIPPED, task.args[0]))
    install_handlers(huey, sinks="memory", stale_locks="release")
