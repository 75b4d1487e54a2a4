"""A critical task that keeps its lock errors.

Problem: skipped imports are fine, a skipped payout is not: it must stand in the result store,
and whoever waits for it must learn why it did not run.

Trade-off: none for this task; it is stored exactly as Huey does it without the kit.
"""

from __future__ import annotations

from huey import MemoryHuey
from huey.exceptions import TaskException

from huey_signals_kit import install_handlers

huey = MemoryHuey("shop")
install_handlers(huey)


@huey.task()
@huey.lock_task("ledger")
def import_orders() -> None:
    """May be skipped at any time."""


@huey.task(lock_errors="keep")  # beats every handler and every preset
@huey.lock_task("ledger")
def pay_out() -> None:
    """Must never be skipped unnoticed."""


def main() -> None:
    """Run both while somebody else has the lock."""
    skipped, payout = import_orders(), pay_out()
    with huey.lock_task("ledger"):
        while (task := huey.dequeue()) is not None:  # what a worker of huey_consumer does
            huey.execute(task)
    print("import_orders:", skipped.get())
    try:
        payout.get()
    except TaskException as exc:
        print("pay_out:", exc)


if __name__ == "__main__":
    main()
