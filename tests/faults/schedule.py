"""The faults of a run: how each begins and ends, for how long, and in which order."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class Scene(Protocol):
    """What a fault acts on; `tests.faults.run.Run` is one."""

    hosts: dict[str, Any]
    server: Any
    judge: Any
    stale_after: float

    def go_on(self, seconds: float) -> None:
        """Let work, kills and judgement go on for so many seconds."""

    def kill_holder(self, worker: str = "", host: str = "") -> bool:
        """Kill a process that is inside of a lock."""

    def find_holder(self, worker: str = "", host: str = "") -> tuple[Any, int] | None:
        """Return a host and the number of a process on it that is inside of a lock."""

    def hold_for(self, seconds: float, computes: bool = False) -> None:
        """Enqueue tasks that hold locks for so long."""


@contextmanager
def storage_unwell(scene: Scene) -> Iterator[None]:
    """Within this block no lock has to be freed."""
    scene.judge.unwell()
    yield
    scene.judge.well(time.monotonic())


def killed(scene: Scene) -> None:
    """Kill holders of each kind of worker; the storage is well all the time."""
    for worker in ("process", "thread", "greenlet"):
        scene.kill_holder(worker)
        scene.go_on(8)


def killed_once(scene: Scene) -> None:
    """Kill one holder, for a short look."""
    scene.kill_holder()
    scene.go_on(4)


def powered_off(scene: Scene) -> None:
    """Kill a host with all its processes, and boot it again under its name."""
    beta = scene.hosts["beta"]
    beta.power_off()
    scene.go_on(3)
    beta.boot()
    scene.go_on(5)


def busy(scene: Scene) -> None:
    """Greenlet tasks that never yield for longer than *stale_after*."""
    scene.hold_for(scene.stale_after + 8, computes=True)
    scene.go_on(scene.stale_after + 10)


def full(scene: Scene) -> None:
    """Redis refuses every write that needs memory."""
    with storage_unwell(scene):
        scene.server.fill("noeviction")
        _with_kills(scene, scene.stale_after + 10)
        scene.server.relieve()


def volatile(scene: Scene) -> None:
    """Redis evicts keys that have a time to live."""
    with storage_unwell(scene):
        scene.server.fill("volatile-ttl", ttl=3600)
        _with_kills(scene, scene.stale_after + 10)
        scene.server.relieve()


def evicting(scene: Scene) -> None:
    """Redis evicts any key."""
    with storage_unwell(scene):
        lost = scene.judge.data_lost(time.monotonic())
        scene.server.fill("allkeys-lru")
        _with_kills(scene, scene.stale_after)
        scene.server.relieve()
        lost.append(time.monotonic())


def paused(scene: Scene) -> None:
    """The process of Redis is stopped."""
    with storage_unwell(scene):
        scene.server.pause()
        _with_kills(scene, scene.stale_after + 15)
        scene.server.resume()


def client_paused(scene: Scene) -> None:
    """Redis answers no client."""
    with storage_unwell(scene):
        scene.server.admin.client_pause(int((scene.stale_after + 10) * 1000), all=True)
        _with_kills(scene, scene.stale_after + 10)


def emptied(scene: Scene) -> None:
    """Redis starts again with nothing."""
    scene.kill_holder()
    with storage_unwell(scene):
        lost = scene.judge.data_lost(time.monotonic())
        scene.server.restart_empty()
        scene.go_on(2)
        lost.append(time.monotonic())
    scene.kill_holder()


def restored(scene: Scene) -> None:
    """Redis goes back to a dump; meanwhile locks were freed, and holders have died."""
    scene.server.dump()
    _with_kills(scene, 20)
    with storage_unwell(scene):
        lost = scene.judge.data_lost(time.monotonic())
        scene.server.restore()
        scene.go_on(2)
        lost.append(time.monotonic())


def partitioned(scene: Scene) -> None:
    """One host is cut off for a minute."""
    beta = scene.hosts["beta"]
    with storage_unwell(scene):
        end = scene.judge.cut("beta", None, time.monotonic())
        beta.cut()
        scene.kill_holder(host="alpha")
        _with_kills(scene, max(60, scene.stale_after + 10), host="beta")
        beta.heal()
        end.append(time.monotonic())


def stopped(scene: Scene) -> None:
    """One process that is inside of a lock is stopped."""
    if (found := scene.find_holder("thread")) is None:
        return
    host, pid = found
    with storage_unwell(scene):
        end = scene.judge.cut(host.name, pid, time.monotonic())
        host.send(pid, signal.SIGSTOP)
        scene.go_on(scene.stale_after + 15)
        host.send(pid, signal.SIGCONT)
        end.append(time.monotonic())


def _with_kills(scene: Scene, seconds: float, host: str = "") -> None:
    scene.go_on(seconds / 3)
    scene.kill_holder(host=host)
    scene.go_on(seconds * 2 / 3)


FAULTS: dict[str, Callable[[Any], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        killed,
        full,
        partitioned,
        paused,
        volatile,
        restored,
        emptied,
        evicting,
        powered_off,
        busy,
        stopped,
        client_paused,
        killed_once,
    )
}
DEFAULT = [name for name in FAULTS if name != "killed-once"]
