"""Faults of the processes of the consumers, of what watches them, and of their clock."""

from __future__ import annotations

import shutil
import signal
import time

from tests.faults.observers import HANG, RAISE, SENTRY
from tests.faults.scene import Scene, storage_unwell

STEP_SECONDS = 7200
SHORT_SECONDS = 12


def killed(scene: Scene) -> None:
    """Kill workers of each kind that hold a lock; the storage is well all the time."""
    for worker in ("process", "thread", "greenlet"):
        scene.kill_holder(worker)
        scene.go_on(8)


def killed_once(scene: Scene) -> None:
    """Kill one holder, for a short look."""
    scene.kill_holder()
    scene.go_on(4)


def consumer_killed(scene: Scene) -> None:
    """Kill a whole consumer of each kind, with its workers."""
    for worker in ("thread", "process", "greenlet"):
        scene.hosts[scene.draw.choice(["alpha", "beta"])].kill_job(worker)
        scene.go_on(4)


def scheduler_killed(scene: Scene) -> None:
    """Kill the parent of process workers; later its orphans, as a service manager does."""
    for host in scene.hosts.values():
        orphans = host.pids("process")
        host.signal_job("process", signal.SIGKILL)
        scene.go_on(SHORT_SECONDS)
        host.kill_all(orphans)


def _signalled(scene: Scene, signum: signal.Signals) -> None:
    for host, worker in scene.consumers:
        scene.hosts[host].signal_job(worker, signum)
        scene.go_on(2)
    scene.go_on(6)


def terminated(scene: Scene) -> None:
    """SIGTERM to each consumer: its tasks are interrupted."""
    _signalled(scene, signal.SIGTERM)


def interrupted(scene: Scene) -> None:
    """SIGINT to each consumer: its tasks end first."""
    _signalled(scene, signal.SIGINT)


def hung_up(scene: Scene) -> None:
    """SIGHUP to each consumer: it ends its tasks and starts itself again."""
    _signalled(scene, signal.SIGHUP)


def powered_off(scene: Scene) -> None:
    """Kill a host with all its processes, and boot it again under its name."""
    beta = scene.hosts["beta"]
    beta.power_off()
    scene.go_on(3)
    beta.boot()
    scene.go_on(5)


def busy(scene: Scene) -> None:
    """Greenlet tasks that never yield for longer than *stale_after*."""
    with storage_unwell(scene):  # the other tasks of that process store nothing meanwhile
        scene.hold_for(scene.stale_after + 8, computes=True)
        scene.go_on(scene.stale_after + 10)


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


def observers_raise(scene: Scene) -> None:
    """Every handler, sink and subscriber raises; nothing may be lost, and no lock kept."""
    scene.trouble.set(RAISE)
    scene.go_on(SHORT_SECONDS)
    scene.kill_holder()
    scene.go_on(SHORT_SECONDS)
    scene.trouble.clear()


def observers_hang(scene: Scene) -> None:
    """Every handler, sink and subscriber hangs, and with them their workers."""
    with storage_unwell(scene):
        scene.trouble.set(HANG)
        scene.go_on(SHORT_SECONDS)
        scene.trouble.clear()


def sentry_blocks(scene: Scene) -> None:
    """The transport of Sentry takes nothing, and blocks who reports an error."""
    with storage_unwell(scene):
        scene.trouble.set(SENTRY)
        scene.go_on(SHORT_SECONDS)
        scene.trouble.clear()


def prometheus_gone(scene: Scene) -> None:
    """The folders of Prometheus' multiprocess mode are deleted."""
    for host in scene.hosts:
        shutil.rmtree(scene.prometheus_folder(host))
    scene.go_on(SHORT_SECONDS)


def clock_ahead(scene: Scene) -> None:
    """The wall clock of one host goes two hours ahead, and back to the truth."""
    _stepped(scene, STEP_SECONDS)


def clock_back(scene: Scene) -> None:
    """The wall clock of one host goes back by two hours, and to the truth."""
    _stepped(scene, -STEP_SECONDS)


def _stepped(scene: Scene, seconds: int) -> None:
    if not scene.clock.can_step:
        print("no gcc: the clock cannot be stepped", flush=True)
        return
    scene.clock.step_to(seconds)
    scene.go_on(SHORT_SECONDS)
    scene.kill_holder(host="alpha")
    scene.go_on(SHORT_SECONDS)
    scene.clock.step_to(0)
