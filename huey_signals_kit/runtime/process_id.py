"""Where a process runs, and whether one that runs in the same place is still there."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, replace
from functools import lru_cache

_GONE = -1
INCARNATION = time.monotonic_ns()
"""When this program was loaded, by the monotonic clock, which all processes of a host share.

After ``exec`` the process keeps its number and start time, but gets a later incarnation.
"""

LARGEST_PID = 2**31 - 1
FOREIGN_DATA_ERRORS = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
"""What reading anything but a record of ours can raise."""


@dataclass(frozen=True)
class ProcessId:
    """One process, told from any other that had its number before."""

    host: str
    pid_namespace: str
    """What numbers of processes are unique in, empty where that is unknown.

    A host's name is not enough: containers can share one and still number their own.
    """
    pid: int
    start_time: int
    """When it started, by the kernel's own count; 0 where that is unknown."""

    def is_alive(self) -> bool | None:
        """Return whether this process is there; None if that cannot be seen from here."""
        mine = this_process()
        if not self.pid_namespace or (self.host, self.pid_namespace) != (
            mine.host,
            mine.pid_namespace,
        ):
            return None
        start_time = _start_time(self.pid)
        return None if 0 in (start_time, self.start_time) else start_time == self.start_time


def process_with_pid(pid: int) -> ProcessId:
    """Return the place of the process *pid* of this host."""
    return replace(this_process(), pid=pid, start_time=max(_start_time(pid), 0))


def is_stopped(pid: int) -> bool:
    """Return whether a signal or a debugger has stopped the process *pid* of this host."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def this_process() -> ProcessId:
    """Return the place of this process."""
    return _place(os.getpid())


@lru_cache(maxsize=1)
def _place(pid: int) -> ProcessId:
    return ProcessId(socket.gethostname(), _pid_namespace(), pid, max(_start_time(pid), 0))


def _pid_namespace() -> str:
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return ""  # this /proc numbers other processes than this process does
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        # The start time of a process is by a clock that another time namespace may change.
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {_time_namespace()}".rstrip()
    except (OSError, UnicodeDecodeError):
        return ""  # not Linux


def _time_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/time")
    except OSError:  # before Linux 5.6
        return ""


def _start_time(pid: int) -> int:
    """Return when *pid* started; 0 if that is unknown, `_GONE` if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in brackets, may have spaces and brackets of its own.
            state, *rest = file.read().rpartition(b")")[2].split()
        return _GONE if state in (b"Z", b"X") else int(rest[18])
    except (OSError, ValueError, IndexError):
        return _GONE if _has_ended(pid) else 0


def _has_ended(pid: int) -> bool:
    # Some systems hide the processes of other users in /proc.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
