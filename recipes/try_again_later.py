"""A locked task is scheduled again.

Problem: two imports must not run at the same time, but none may be skipped. Huey's ``retries=``
would run a locked import again, but then lock errors use up the retries meant for real errors.

Trade-off: a locked task waits in the schedule. Only ``huey.scheduled()`` and the counts show this.
A caller that waits for the result waits longer.
"""

from __future__ import annotations

import time

from huey import MemoryHuey
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_RETRYING

from huey_signals_kit import Registry, install_handlers
from huey_signals_kit.handlers import RescheduleLocked

patient = Registry("patient")
again = RescheduleLocked(delay=0.2, backoff=2, max_delay=60, give_up_after=3600)
patient.add(again, SIGNAL_LOCKED, SIGNAL_ERROR, SIGNAL_RETRYING)

huey = MemoryHuey("shop")
kit = install_handlers(huey, preset=["observe", patient])


@huey.task(retries=2)
@huey.lock_task("import")
def import_orders(name: str) -> str:
    return f"imported {name}"


def main() -> None:
    """Skip the task once, then run it when the lock is free."""
    with huey.lock_task("import"):
        result = import_orders("monday.csv")
        huey.execute(huey.dequeue())  # what a worker of huey_consumer does
    skips = kit.count("huey_lock_skips_total")
    print(f"skipped: {skips}, stored: {huey.result_count()}, waiting: {huey.scheduled_count()}")
    while not (due := huey.read_schedule()):  # what the consumer's scheduler does
        time.sleep(0.05)
    huey.execute(due[0])
    print("result:", result.get())


if __name__ == "__main__":
    main()
