"""Locks as other processes take them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

from huey.api import Task

from huey_signals_kit.ledger import HEARTBEAT_SECONDS, observing
from huey_signals_kit.locks.holder import HolderEncoder
from huey_signals_kit.runtime.process_id import ProcessId, this_process

GONE = replace(this_process(), pid=2**22 + 5, start_time=17)
"""A place of this host where no process is."""
ELSEWHERE = ProcessId("another-host", "another boot", 4711, 99)


def key(huey, name):
    return f"{huey.name}.lock.{name}"


def taken_by(huey, name, place, beats=True, incarnation=5, task_id=None):
    """A lock as a process at *place* takes it."""
    text = HolderEncoder()
    text.set_has_heartbeat(beats)
    task = None if task_id is None else Task(id=task_id)
    written = huey.serializer.deserialize(text.encode(task, huey.serializer)).split("\n")
    written[1:5] = [str(place.pid), str(place.start_time), place.host, place.pid_namespace]
    process = written[6].partition("@")[0]
    written[6] = f"{process}@{incarnation}" if incarnation else process
    assert huey.put_if_empty(key(huey, name), "\n".join(written))


@contextmanager
def watched(ledger, clock):
    """Gives a function that lets time pass while a watcher tells *ledger* what it sees.

    *clock* has ``now``, in seconds.
    """
    with observing(ledger, clock) as watcher:

        def go(seconds):
            end = clock.now + seconds
            watcher.step()
            while clock.now < end:
                clock.now = min(end, clock.now + HEARTBEAT_SECONDS)
                watcher.step()

        yield go
