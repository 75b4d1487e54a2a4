"""A waiting caller learns which lock was held.

Problem: a web request starts a task and waits for its result. When lock errors are dropped, the
request waits until its timeout, although the task was skipped immediately.

Trade-off: a small error (less than 300 bytes) is stored until it expires. On Redis 7.4, or with a
key for each result (RedisExpireHuey), the server deletes it. On other storages a thread of the kit
deletes it.
"""

from __future__ import annotations

import time

from huey import MemoryHuey
from huey.exceptions import TaskException

from huey_signals_kit import install_handlers

huey = MemoryHuey("shop")
install_handlers(huey)  # preset="brief-locks" does the same for every task, for 60 seconds


@huey.task(lock_errors=0.5)
@huey.lock_task("import")
def import_orders() -> None:
    """Import the orders; skipped here, because another worker holds the lock."""


def main() -> None:
    """Skip the task, and wait for its result as the web request does."""
    with huey.lock_task("import"):
        result = import_orders()
        huey.execute(huey.dequeue())  # what a worker of huey_consumer does
    try:
        result.get(blocking=True, timeout=10, preserve=True)
    except TaskException as error:
        print("the caller gets:", error.metadata["error"])
    deadline = time.monotonic() + 30
    while huey.result_count() and time.monotonic() < deadline:
        time.sleep(0.1)
    print("a moment later, left in the store:", huey.result_count())


if __name__ == "__main__":
    main()
