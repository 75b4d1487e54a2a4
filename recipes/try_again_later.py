"""A locked task comes again.

Problem: two imports must not run at once, but none may be skipped either. Huey's ``retries=``
would do it, and would then be used up by locks when a real error comes.

Trade-off: a task that waits is in the schedule; nothing says so but ``huey.scheduled()``, the
counts, and, for whoever waits for its result, that this takes longer.
"""

from __future__ import annotations

import time

from huey import MemoryHuey
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_RETRYING

from huey_signals_kit import Registry, install_handlers
from huey_signals_kit.handlers import RescheduleLocked

patient = Registry("patient")
again = RescheduleLocked(delay=0.2, backoff=2, most=60, give_up_after=3600)
patient.add(again, SIGNAL_LOCKED, SIGNAL_ERROR, SIGNAL_RETRYING)

huey = MemoryHuey("shop")
kit = install_handlers(huey, preset=["observe", patient])


@huey.task(retries=2)
@huey.lock_task("import")
def import_orders(name: str) -> str:
    return f"imported {name}"


def main() -> None:
    """Skip the task once; then the lock is free."""
    with huey.lock_task("import"):
        result = import_orders("monday.csv")
        huey.execute(huey.dequeue())  # what a worker of huey_consumer does
    skips = kit.count("huey_lock_skips_total")
    print(f"skipped: {skips}, stored: {huey.result_count()}, waiting: {huey.scheduled_count()}")
    while not (due := huey.read_schedule()):  # what its scheduler does
        time.sleep(0.05)
    huey.execute(due[0])
    print("result:", result.get())


if __name__ == "__main__":
    main()
