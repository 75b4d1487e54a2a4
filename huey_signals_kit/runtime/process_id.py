"""Identify a process, and find out whether a process of this host is alive.

A pid alone does not identify a process: it is used again, and every container has its own. So a
process is identified by its host, its pid namespace, its pid and the kernel's start time. Within
one pid namespace the operating system then knows for certain whether the process is alive. Of any
other process nothing can be seen from here; the failure detector of the ledger judges it by its
heartbeats.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, replace
from functools import lru_cache

_GONE = -1

INCARNATION = time.monotonic_ns()
"""When this program was loaded, by the monotonic clock, which all processes of a host share.

After ``exec`` a process has the same pid and start time, but a later incarnation: it no longer
holds the locks and runs the tasks of the program before.
"""

_LARGEST_PID = 2**31 - 1
_LARGEST_START_TIME = 2**63 - 1

FOREIGN_DATA_ERRORS = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
"""The exceptions that parsing can raise if the kit did not write the value."""


@dataclass(frozen=True)
class ProcessId:
    """The identity of one process, different from any other that had its pid before."""

    host: str
    pid_namespace: str
    """Where the pid is unique; empty if unknown.

    The name of the host is not enough: containers can share it, but have pids of their own.
    """
    pid: int
    start_time: int
    """When the process started, in ticks of the kernel; 0 if unknown."""

    def is_alive(self) -> bool | None:
        """Return whether the process exists; None if this process cannot see it."""
        own = this_process()
        if not self.pid_namespace or (self.host, self.pid_namespace) != (
            own.host,
            own.pid_namespace,
        ):
            return None
        start_time = _start_time(self.pid)
        return None if 0 in (start_time, self.start_time) else start_time == self.start_time


def parse_process(
    host: object, pid_namespace: object, pid: object, start_time: object
) -> ProcessId:
    """Return the process that a record names.

    Args:
        host: The stored host.
        pid_namespace: The stored pid namespace.
        pid: The stored pid. It becomes part of a path, is printed and is passed to the system.
        start_time: The stored start time.

    Raises:
        TypeError: A value has the wrong type.
        ValueError: No process has such a pid or start time.
    """
    if not isinstance(host, str) or not isinstance(pid_namespace, str):
        raise TypeError("a host or a pid namespace that is not a string")
    if type(pid) is not int or type(start_time) is not int:
        raise TypeError("a pid or a start time that is not an integer")
    if not 0 < pid <= _LARGEST_PID or not 0 <= start_time <= _LARGEST_START_TIME:
        raise ValueError(f"the pid {pid} or the start time {start_time}")
    return ProcessId(host, pid_namespace, pid, start_time)


def process_with_pid(pid: int) -> ProcessId:
    """Return the identity of the process `pid` of this host.

    If no such process exists, its start time is 0, so that `is_alive` returns None.
    """
    return replace(this_process(), pid=pid, start_time=max(_start_time(pid), 0))


def is_stopped(pid: int) -> bool:
    """Return whether a signal or a debugger has stopped the process `pid` of this host."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def this_process() -> ProcessId:
    """Return the identity of this process."""
    return _identity(os.getpid())


@lru_cache(maxsize=1)
def _identity(pid: int) -> ProcessId:
    return ProcessId(socket.gethostname(), _pid_namespace(), pid, max(_start_time(pid), 0))


def _pid_namespace() -> str:
    """Return where pids and start times of this process are comparable; empty if unknown.

    It names the boot, the pid namespace and the time namespace of the kernel.
    """
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return ""  # this /proc belongs to another pid namespace
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        # Start times depend on the time namespace.
        return f"{boot} {os.readlink('/proc/self/ns/pid')} {_time_namespace()}".rstrip()
    except (OSError, UnicodeDecodeError):
        return ""  # not Linux


def _time_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/time")
    except OSError:  # before Linux 5.6
        return ""


def _start_time(pid: int) -> int:
    """Return when the process `pid` started; 0 if unknown, `_GONE` if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in brackets, may contain spaces and brackets.
            state, *fields = file.read().rpartition(b")")[2].split()
        if state in (b"Z", b"X") and not _has_other_threads(pid):
            return _GONE
        return int(fields[18])
    except (OSError, ValueError, IndexError):
        return _GONE if _has_ended(pid) else 0


def _has_other_threads(pid: int) -> bool:
    """Return whether threads of a process go on although its main thread has ended."""
    try:
        return os.listdir(f"/proc/{pid}/task") != [str(pid)]
    except FileNotFoundError:
        return False


def _has_ended(pid: int) -> bool:
    """Return whether no process has this pid, also where /proc hides those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
