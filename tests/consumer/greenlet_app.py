"""Tasks for greenlets that do not yield, or that fork."""

from __future__ import annotations

import os

if os.environ.get("HUEY_KIT_TEST_WORKER") == "greenlet":
    from gevent import monkey

    monkey.patch_all()

import logging
import socket
import time
from pathlib import Path
from types import SimpleNamespace

from huey.api import Huey

from tests.support import Place

GATES = "HUEY_KIT_TEST_GATES"
EVERY = "HUEY_KIT_TEST_EVERY"
"""How often the native thread writes."""
_CHILD_SECONDS = 20


def declare(huey: Huey) -> SimpleNamespace:
    """Declares the tasks on a Huey."""

    def gate(name):
        return Path(os.environ[GATES], name)

    @huey.task()
    @huey.lock_task("held")
    def computes(name):
        """Hold the thread until the file *name* is there, without ever yielding."""
        gate(f"{name} is in").touch()
        while not gate(name).exists():
            pass
        return "computed"

    @huey.task()
    def answers(number):
        """Use Huey's own connection, among other greenlets that do."""
        huey.put(f"number-{number}", number)
        time.sleep(0.01)
        return huey.get(f"number-{number}")

    @huey.task()
    def forks(children):
        """Fork children, one after the other; return how many could log and use the storage."""
        return sum(_ended_well(_fork(huey, number)) for number in range(children))

    @huey.task()
    def forks_one_that_locks(name):
        """Fork a child that holds a lock until the file *name* is there."""
        if (pid := os.fork()) == 0:
            _block_on_input()
            huey.storage.pool.disconnect()
            with huey.lock_task("of the child"):
                while not gate(name).exists():
                    time.sleep(0.02)
            os._exit(0)
        return _ended_well(pid)

    return SimpleNamespace(
        computes=computes, answers=answers, forks=forks, forks_one_that_locks=forks_one_that_locks
    )


def _fork(huey, number):
    pid = os.fork()
    if pid == 0:
        try:
            _block_on_input()
            logging.getLogger("huey").info("child %d", number)
            huey.storage.pool.disconnect()
            assert huey.get("nothing") is None
        except BaseException:
            logging.getLogger("huey").exception("child %d", number)
            os._exit(1)
        os._exit(0)
    return pid


def _block_on_input():
    """In a forked child: if it yielded, the parent's greenlets would go on in it as well.

    They would read the parent's answers from connections that both processes have.
    """
    for module in (socket, time):
        for name in ("socket", "getaddrinfo", "sleep"):
            if hasattr(module, name):
                setattr(module, name, monkey.get_original(module.__name__, name))


def _ended_well(pid):
    deadline = time.monotonic() + _CHILD_SECONDS
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, 9)
        time.sleep(0.005)
    return ended == (pid, 0)


if "HUEY_KIT_TEST_KIND" in os.environ:
    parts = ("KIND", "LOCATION", "NAME")
    huey = Place(*(os.environ[f"HUEY_KIT_TEST_{part}"] for part in parts)).open()
    declare(huey)
    from huey_signals_kit import install_handlers
    from huey_signals_kit.jobs import native_heartbeat

    native_heartbeat.HEARTBEAT_SECONDS = float(os.environ[EVERY])
    install_handlers(huey)
