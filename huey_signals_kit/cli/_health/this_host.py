"""Judge this host's own consumers of a Huey, by their files and the operating system.

A liveness probe must not restart a pod because Redis is down, so the storage is not used. Every
worker process with the kit writes a small file every few seconds. It tells a probe what the
operating system does not know: which Huey the process works on, and whether Python code runs in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from ...jobs.host_record import (
    RUN_DIR,
    HostRecord,
    file_of,
    is_unusable,
    read_records,
    record_folders,
    storage_of,
    working_folder,
)
from ...runtime.process_id import is_stopped, this_process
from .._shared.exits import CommandError
from .._shared.terminal import printable
from .._shared.wording import join_limited, pluralize, verb
from .model import Health

SILENT_SECONDS = 120.0
"""Seconds after which a process counts as hanging if it has not rewritten its file.

The same as the default of `install_handlers(stale_after=)`: a call that holds the interpreter lock,
or under gevent a greenlet that does not yield, can take a minute.
"""
IDLE_SECONDS = 30.0
"""Seconds without a worker after which a process is unhealthy; Huey restarts one within 10."""


def judge_host(name: str, import_huey: Callable[[], Any]) -> Health:
    """Judge the processes of this host that work on one Huey.

    Args:
        name: The Huey as named on the command line.
        import_huey: Imports the Huey; called only if no process of this folder knows `name`.
    """
    try:
        records = read_records()
    except OSError as exc:
        return Health(False, f"{exc}. Let {RUN_DIR} name a folder that can be written")
    own, other_storages = _records_of_huey(name, records, import_huey)
    now = time.monotonic()
    liveness = {record: _is_alive(record, now) for record in own}
    alive = [record for record in own if liveness[record]]
    workers = [record for record in alive if record.worker != "scheduler"]
    problems = [problem for record in alive for problem in _problems(record, now)]
    if not workers:
        dead = [
            record for record in own if liveness[record] is False and record.worker != "scheduler"
        ]
        problems.insert(0, _describe_no_worker(name, dead, other_storages))
    if problems:
        return Health(False, "; ".join(dict.fromkeys(problems)))
    processes = f"{pluralize(len(workers), 'process')} of this host {verb(len(workers), 'work')}"
    return Health(True, f"{processes} on {printable(name)}")


def _records_of_huey(
    name: str, records: list[HostRecord], import_huey: Callable[[], Any]
) -> tuple[list[HostRecord], list[str]]:
    """Return the records of processes that work on the Huey `name`.

    Many projects have a ``tasks.huey``. Records of the same name and folder are enough, then those
    of the same name and module file. Without any, the name of the queue and its storage decide. If
    the name is that of a queue in other storages, return these, too.
    """
    dotted, folder = name.replace(":", "."), working_folder()
    same_name = [record for record in records if dotted in record.names]
    same_folder = [record for record in same_name if record.folder == folder]
    if same_folder:
        return same_folder, []
    try:
        huey = import_huey()
    except CommandError:
        if not same_name:
            raise
        return same_name, []
    file = file_of(dotted)
    same_file = [record for record in same_name if file and (dotted, file) in _modules(record)]
    if same_file:
        return same_file, []
    same_queue = [record for record in records if record.queue == str(huey.name)]
    storage = storage_of(huey)
    others = {
        record.storage for record in same_queue if storage and record.storage not in ("", storage)
    }
    return [record for record in same_queue if record.storage not in others], sorted(others)


def _modules(record: HostRecord) -> list[tuple[str, str]]:
    return list(zip(record.names, record.files, strict=False))


def _is_alive(record: HostRecord, now: float) -> bool | None:
    """Return whether the process is alive; None if only its file could tell, and that is old."""
    is_alive = record.place.is_alive()
    if is_alive is not None:
        return is_alive
    # The process is in another container that shares the folder. After a reboot the clock of its
    # file no longer compares with this one.
    same_boot = record.place.pid_namespace.split()[:1] == this_process().pid_namespace.split()[:1]
    return True if same_boot and 0 <= now - record.at <= SILENT_SECONDS else None


def _problems(record: HostRecord, now: float) -> Iterator[str]:
    """Yield what is wrong with a process that is alive."""
    pid, is_visible = record.place.pid, record.place.is_alive()
    if is_visible and is_stopped(pid):
        yield f"process {pid} is stopped (kill -CONT {pid} resumes it)"
    elif now - record.at > SILENT_SECONDS:
        yield f"process {pid} hangs: it has run no Python code for {now - record.at:.0f} s"
    elif record.idle_since is not None and now - record.idle_since > IDLE_SECONDS:
        yield f"the workers of process {pid} ended {now - record.idle_since:.0f} s ago"
    if is_visible and record.parent is not None:
        if record.parent.is_alive() is False:
            yield f"the consumer of worker process {pid} has ended without it"
        elif is_stopped(record.parent.pid):
            parent = record.parent.pid
            yield f"the consumer, process {parent}, is stopped (kill -CONT {parent} resumes it)"


def _describe_no_worker(name: str, dead: list[HostRecord], other_storages: list[str]) -> str:
    problem = f"no process of this host works on {printable(name)}"
    if dead:
        pids = ", ".join(str(record.place.pid) for record in dead[:5])
        noun = "process" if len(dead) == 1 else "processes"
        return f"{problem}: {noun} {pids} ended unexpectedly"
    if other_storages:
        return (
            f"{problem}: the consumers of a queue of that name use "
            f"{printable(join_limited(other_storages, 3))}. Run this command in the folder of the "
            "consumer, with its environment"
        )
    own_folder, all_folders = record_folders()[0], " or ".join(map(str, record_folders()[:3]))
    if is_unusable(own_folder):
        return (
            f"{problem}: {printable(own_folder)} belongs to another user or cannot be written, so "
            f"no process has its file there. Set {RUN_DIR} to another folder, for the consumers "
            "and for this command"
        )
    return (
        f"{problem}: no file was written to {printable(all_folders)}. Start a consumer with the "
        f"kit; if one is running, set {RUN_DIR} to the same folder for it and for this command"
    )
