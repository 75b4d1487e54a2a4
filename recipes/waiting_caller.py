"""A caller who waits learns which lock was busy.

Problem: a web request starts a task and waits for its result. When lock errors are dropped, the
request waits until its timeout, though the task was skipped at once.

Trade-off: a small error is stored, under 300 bytes, and is gone after its time. On Redis 7.4, or
with keys of its own (RedisExpireHuey), the server sees to that; elsewhere a thread of the kit.
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
    """Does not run: another worker is at it."""


def main() -> None:
    """Skip the task, and ask for its result as the web request does."""
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
