"""Runs Huey's own tests, bare or with a kit on every Huey, and writes down how they went.

A script for a process of its own, because it patches Huey:
``run.py bare|kit REDIS_URL OUT [TEST ...]``.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
import unittest
from collections.abc import Callable
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis.connection
from huey.api import Huey

from huey_signals_kit import install_handlers

MEANT = ("heartbeat failed on the scheduler", "stale locks failed on the scheduler", "Lost ")


def main(mode: str, redis_url: str, out: str, *names: str) -> None:
    """Run the named tests, or all of Huey's."""
    follow_init(redis.connection.Connection, functools.partial(move_connection, redis_url))
    if mode == "kit":
        follow_init(Huey, functools.partial(install_handlers, preset="quiet-locks"))
    # The kit logs nothing unless something is wrong. Here its ticks fail, as Huey's tests drop the
    # tables of a Huey that they leave alive; and they flush locks away from who holds them.
    kit_log = BufferingHandler(capacity=sys.maxsize)
    kit_log.addFilter(lambda record: not record.getMessage().startswith(MEANT))
    logging.getLogger("huey_signals_kit").addHandler(kit_log)
    suite = unittest.defaultTestLoader.loadTestsFromNames(names or ["huey.tests"])
    result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
    outcome = {
        "count": result.testsRun,
        "failed": {test.id(): text for test, text in [*result.failures, *result.errors]},
        "skipped": {test.id(): reason for test, reason in result.skipped},
        "logged": [kit_log.format(record) for record in kit_log.buffer],
    }
    Path(out).write_text(json.dumps(outcome))


def follow_init(cls: type[Any], then: Callable[[Any], object]) -> None:
    """Pass every new instance of *cls* to *then*."""
    init: Callable[..., None] = cls.__init__

    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        then(self)

    cls.__init__ = wrapper


def move_connection(redis_url: str, connection: Any) -> None:
    """Lead a connection to our Redis: Huey's tests know only the default port."""
    ours = urlsplit(redis_url)
    connection.host, connection.port = ours.hostname, ours.port


class Result(unittest.TextTestResult):
    """Leads the tests' paths away from /tmp, where two runs would meet, into this folder."""

    def startTest(self, test: unittest.TestCase) -> None:
        """Change the paths before the test's ``setUp`` reads them."""
        here = os.getcwd()
        for name, value in [(name, getattr(type(test), name)) for name in dir(type(test))]:
            if isinstance(value, str) and value.startswith("/tmp/") and here not in value:
                setattr(type(test), name, value.replace("/tmp", here, 1))
        super().startTest(test)


if __name__ == "__main__":
    main(*sys.argv[1:])
