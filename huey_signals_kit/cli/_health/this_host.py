"""Judge this host's own consumers of a Huey, by their files and the operating system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ...jobs.host_record import (
    RUN_DIR,
    HostRecord,
    is_unusable,
    read_records,
    record_folders,
    working_folder,
)
from ...runtime.process_id import is_stopped, this_process
from .._shared.exits import CommandError
from .._shared.tables import counted
from .._shared.terminal import shown
from .model import Health

SILENT_SECONDS = 120.0
"""A process whose file is older than this counts as hanging.

The same as the default of `install_handlers(stale_after=)`: a call that holds the interpreter lock,
or under gevent a greenlet that does not yield, can take a minute.
"""
IDLE_SECONDS = 30.0
"""After so long without a worker a process is unhealthy; Huey restarts one in 10 seconds."""


def judge_host(name: str, queue: Callable[[], str]) -> Health:
    """Judge the processes of this host that work on the Huey *name*.

    Args:
        name: As given on the command line.
        queue: Returns the name of its queue; called only where no process of this folder knows
            *name*.
    """
    try:
        records = read_records()
    except OSError as exc:
        return Health(False, f"{exc}. Let {RUN_DIR} name a folder that can be written")
    found = _working_on(name, records, queue)
    now = time.monotonic()
    states = {each: _is_alive(each, now) for each in found}
    alive = [each for each in found if states[each]]
    workers = [each for each in alive if each.worker != "scheduler"]
    problems = [problem for each in alive for problem in _problems(each, now)]
    if not workers:
        gone = [each for each in found if states[each] is False and each.worker != "scheduler"]
        problems.insert(0, _no_worker(name, gone))
    if problems:
        return Health(False, "; ".join(dict.fromkeys(problems)))
    verb = "works" if len(workers) == 1 else "work"
    return Health(True, f"{counted(len(workers), 'process')} of this host {verb} on {shown(name)}")


def _working_on(name: str, records: list[HostRecord], queue: Callable[[], str]) -> list[HostRecord]:
    asked, folder = name.replace(":", "."), working_folder()
    named = [each for each in records if asked in each.names]
    found = [each for each in named if each.folder == folder]
    if found:
        return found
    # Many projects have a tasks.huey: the name of the queue distinguishes them.
    try:
        wanted = queue()
    except CommandError:
        if not named:
            raise
        return named
    return [each for each in records if each.queue == wanted]


def _is_alive(record: HostRecord, now: float) -> bool | None:
    """Return whether the process is alive; None if only its file tells, and that is old."""
    there = record.place.is_alive()
    if there is not None:
        return there
    # The process is in another container that shares the folder. After a reboot the clock of its
    # file no longer compares with this one.
    same_boot = record.place.pid_namespace.split()[:1] == this_process().pid_namespace.split()[:1]
    return True if same_boot and 0 <= now - record.at <= SILENT_SECONDS else None


def _problems(record: HostRecord, now: float) -> Iterator[str]:
    pid, own = record.place.pid, record.place.is_alive()
    if own and is_stopped(pid):
        yield f"process {pid} is stopped (kill -CONT {pid} resumes it)"
    elif now - record.at > SILENT_SECONDS:
        yield f"process {pid} hangs: it has run no Python code for {now - record.at:.0f} s"
    elif record.idle_since is not None and now - record.idle_since > IDLE_SECONDS:
        yield f"the workers of process {pid} ended {now - record.idle_since:.0f} s ago"
    if own and record.parent is not None:
        if record.parent.is_alive() is False:
            yield f"the consumer of worker process {pid} has ended without it"
        elif is_stopped(record.parent.pid):
            parent = record.parent.pid
            yield f"the consumer, process {parent}, is stopped (kill -CONT {parent} resumes it)"


def _no_worker(name: str, gone: list[HostRecord]) -> str:
    said = f"no process of this host works on {shown(name)}"
    if gone:
        pids = ", ".join(str(each.place.pid) for each in gone[:5])
        return f"{said}: {'process' if len(gone) == 1 else 'processes'} {pids} ended unexpectedly"
    where, own = " or ".join(map(str, record_folders()[:3])), record_folders()[0]
    if is_unusable(own):
        return (
            f"{said}: {shown(str(own))} belongs to another user or cannot be written, so no "
            f"process has its file there. Set {RUN_DIR} to another folder, for the consumers and "
            "for this command"
        )
    return (
        f"{said}: no file was written to {shown(where)}. Start a consumer with the kit; if one is "
        f"running, set {RUN_DIR} to the same folder for it and for this command"
    )
