"""A critical task that keeps its lock errors.

Problem: an import may be skipped, but a payout must not be skipped unnoticed. Its error must be in
the result store, and a caller that waits for the result must learn why the task did not run.

Trade-off: none for this task. Its error is stored exactly as Huey stores it without the kit.
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
    """Import the orders; may be skipped at any time."""


@huey.task(lock_errors="keep")  # overrides every handler and every preset
@huey.lock_task("ledger")
def pay_out() -> None:
    """Pay out; must never be skipped unnoticed."""


def main() -> None:
    """Run both tasks while another task holds the lock."""
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
