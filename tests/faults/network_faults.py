"""Faults of the network between the hosts and the storage."""

from __future__ import annotations

import time

from tests.faults.scene import RETRANSMIT_SECONDS, Scene, storage_unwell, with_kills


def partitioned(scene: Scene) -> None:
    """One host is cut off for a minute."""
    beta = scene.hosts["beta"]
    with storage_unwell(scene, RETRANSMIT_SECONDS):
        end = scene.judge.cut("beta", None, time.monotonic())
        beta.cut()
        scene.kill_holder(host="alpha")
        with_kills(scene, max(60, scene.stale_after + 10), host="beta")
        beta.heal()
        end.append(time.monotonic())
