"""Faults of the storage itself."""

from __future__ import annotations

import time

from tests.faults.scene import Scene, data_lost, storage_unwell, with_kills

SHORT_SECONDS = 15


def full(scene: Scene) -> None:
    """Redis refuses every write that needs memory."""
    with storage_unwell(scene):
        scene.server.fill("noeviction")
        with_kills(scene, scene.stale_after + 10)
        scene.server.relieve()


def volatile(scene: Scene) -> None:
    """Redis evicts keys that have a time to live."""
    with storage_unwell(scene):
        scene.server.fill("volatile-ttl", ttl=3600)
        with_kills(scene, scene.stale_after + 10)
        scene.server.relieve()


def evicting(scene: Scene) -> None:
    """Redis evicts any key."""
    with storage_unwell(scene), data_lost(scene):
        scene.server.fill("allkeys-lru")
        with_kills(scene, scene.stale_after)
        scene.server.relieve()


def paused(scene: Scene) -> None:
    """The process of Redis is stopped."""
    with storage_unwell(scene):
        scene.server.pause()
        with_kills(scene, scene.stale_after + 15)
        scene.server.resume()


def client_paused(scene: Scene) -> None:
    """Redis answers no client."""
    with storage_unwell(scene):
        scene.server.admin.client_pause(int((scene.stale_after + 10) * 1000), all=True)
        with_kills(scene, scene.stale_after + 10)


def slow(scene: Scene) -> None:
    """Redis needs up to a sixth of a second for each answer; nothing may be lost."""
    scene.judge.unwell()
    scene.server.slow_down()
    with_kills(scene, SHORT_SECONDS)
    scene.server.speed_up()
    scene.judge.well(time.monotonic())


def crashed(scene: Scene) -> None:
    """Redis is killed, and starts again with what it had a moment before."""
    with storage_unwell(scene), data_lost(scene):
        scene.server.dump()
        scene.server.kill()
        with_kills(scene, SHORT_SECONDS)
        scene.server.restore()
        scene.go_on(2)


def emptied(scene: Scene) -> None:
    """Redis starts again with nothing."""
    scene.kill_holder()
    with storage_unwell(scene), data_lost(scene):
        scene.server.restart_empty()
        scene.go_on(2)
    scene.kill_holder()


def restored(scene: Scene) -> None:
    """Redis goes back to a dump; meanwhile locks were freed, and holders have died."""
    scene.server.dump()
    with_kills(scene, 20)
    with storage_unwell(scene), data_lost(scene):
        scene.server.restore()
        scene.go_on(2)


def read_only(scene: Scene) -> None:
    """Redis is a replica for a while, and refuses every write."""
    with storage_unwell(scene):
        scene.server.set_read_only(True)
        with_kills(scene, SHORT_SECONDS)
        scene.server.set_read_only(False)


def without_scripts(scene: Scene) -> None:
    """Redis refuses scripts, with which Huey reads its schedule and the kit frees locks."""
    scene.judge.unwell()  # results and locks of living tasks need no script
    scene.server.set_scripting(False)
    with_kills(scene, SHORT_SECONDS)
    scene.server.set_scripting(True)
    scene.judge.well(time.monotonic())


def locked(scene: Scene) -> None:
    """Another program keeps SQLite's file locked for longer than Huey waits."""
    with storage_unwell(scene):
        scene.server.lock()
        with_kills(scene, SHORT_SECONDS)
        scene.server.unlock()


def disk_full(scene: Scene) -> None:
    """The disk of SQLite's file is full."""
    with storage_unwell(scene):
        scene.server.fill()
        with_kills(scene, SHORT_SECONDS)
        scene.server.relieve()


def postgres_killed(scene: Scene) -> None:
    """Postgres is killed with all its processes, and started again."""
    with storage_unwell(scene):
        scene.server.kill()
        with_kills(scene, SHORT_SECONDS)
        scene.server.start()
