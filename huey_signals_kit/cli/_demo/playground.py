"""The demo queue of the web interface: work, contention, a dead holder and old garbage."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from ...ledger import HistoryWriter
from ...metrics.names import LOCK_REFUSALS, SIGNALS_TOTAL
from ...store import UPKEEP, open_kit_store
from .consumer import running_consumer
from .settings import Settings
from .shop import IMPORT_LOCK, LEGACY_LOCK, REPORT_LOCK, declare_shop_tasks
from .storages import DemoStorage

_CONSUMERS = 2
_LOCK_ERRORS, _TOKENS, _REMINDERS = 240, 60, 35
_HISTORY_MINUTES = 180
_START_SECONDS = 30
_MAX_QUEUED = 100
"""Maximum length of the queue, such as after the consumers were stopped."""


class Playground:
    """The queue of a shop, and its consumers.

    Args:
        storage: The storage, which the caller deletes afterwards.
    """

    def __init__(self, storage: DemoStorage) -> None:
        self.huey = storage.open()
        """The Huey of this process, with the tasks of the shop and without a kit."""
        self._settings = Settings(storage, "", kit=True, is_shop=True)
        self._tasks = declare_shop_tasks(self.huey)
        self._random = random.Random(7)
        self._turn = 0

    def fill(self, folder: Path) -> None:
        """Leave a dead holder, a lock without a holder, garbage and a history.

        Args:
            folder: Folder for the log of the consumer that is killed.
        """
        _store_garbage(self.huey, self._tasks)
        _invent_history(self.huey)
        self.huey.lock_task(LEGACY_LOCK).__enter__()
        self._kill_holder(folder)
        for number in range(_REMINDERS):
            self._tasks["remind_customer"].schedule((number,), delay=1200 + 120 * number)

    @contextmanager
    def consumers(self, folder: Path, workers: int) -> Iterator[None]:
        """Run consumers during the block.

        Args:
            folder: Folder for their logs.
            workers: Number of threads of each.
        """
        with ExitStack() as stack:
            for number in range(_CONSUMERS):
                log = folder / f"consumer-{number}.log"
                consumer = running_consumer(self._settings, workers, log, is_periodic=number == 0)
                # The storage is about to be deleted, so no task needs to end.
                stack.callback(stack.enter_context(consumer).process.kill)
            yield

    def feed(self) -> None:
        """Enqueue the work of a second."""
        if self.huey.storage.queue_size() > _MAX_QUEUED:
            return
        self._turn += 1
        self._tasks["send_invoice"](self._turn)
        if self._turn % 2:
            self._tasks["import_orders"](self._random.uniform(3, 9))
        if self._turn % 3 == 0:
            self._tasks["nightly_report"](2)
        if self._turn % 15 == 5:
            self._tasks["charge_customer"](self._turn)
        if self._turn % 60 == 1:
            self._tasks["build_catalogue"](self._random.uniform(100, 200))

    def _kill_holder(self, folder: Path) -> None:
        """Kill a consumer by SIGKILL while a task of it holds a lock."""
        self._tasks["nightly_report"](24 * 3600)
        with running_consumer(self._settings, 1, folder / "killed.log") as consumer:
            deadline = time.monotonic() + _START_SECONDS
            while not self.huey.lock_task(REPORT_LOCK).is_locked():
                if consumer.process.poll() is not None or time.monotonic() > deadline:
                    raise consumer.failure("did not acquire a lock")
                time.sleep(0.05)
            consumer.process.kill()


def _store_garbage(huey: Any, tasks: dict[str, Any]) -> None:
    """Store what bare Huey leaves behind: lock errors, and revoke tokens of tasks that ended."""
    logger = logging.getLogger("huey")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with huey.lock_task(IMPORT_LOCK):
            for _ in range(_LOCK_ERRORS):
                tasks["import_orders"](0)
                huey.execute(huey.dequeue())
    finally:
        logger.setLevel(level)
    for _ in range(_TOKENS):
        huey.revoke_by_id(str(uuid4()))


def _invent_history(huey: Any) -> None:
    """Fill the charts: without it they would be empty for hours."""
    numbers, now = random.Random(3), time.time()
    minute = now
    writer = HistoryWriter(lambda: open_kit_store(huey, UPKEEP), lambda: minute)
    for ago in range(_HISTORY_MINUTES - 1, 0, -1):
        minute = now - 60 * ago
        refused = numbers.randint(0, 4) + (numbers.randint(3, 9) if ago < 48 else 0)
        reports = numbers.randint(4, 12) if ago < 48 else 0
        counts = {
            ("send_invoice", "complete"): numbers.randint(25, 60),
            ("import_orders", "complete"): numbers.randint(4, 9),
            ("import_orders", "locked"): refused,
            ("nightly_report", "locked"): reports,
            ("charge_customer", "error"): int(numbers.random() < 0.3),
            ("refresh_prices", "complete"): 1,
        }
        writer.add(
            {
                **{
                    (SIGNALS_TOTAL, huey.name, f"shop.{task}", signal): count
                    for (task, signal), count in counts.items()
                },
                (LOCK_REFUSALS, huey.name, IMPORT_LOCK): refused,
                (LOCK_REFUSALS, huey.name, REPORT_LOCK): reports,
            }
        )
