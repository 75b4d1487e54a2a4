"""Quiet locks in an existing app: one line stops Huey from storing an error for each skip.

Problem: a task runs every minute and finds its lock held by the previous run. Huey stores an error
for each skip, and these errors pile up unread. Below is an existing app with the one line added.

Trade-off: nothing is stored for a skip, so code that waits for the result of a skipped task needs
a timeout.
"""

from __future__ import annotations

from huey import MemoryHuey

from huey_signals_kit import install_handlers

huey = MemoryHuey("shop")
install_handlers(huey, preset="quiet-locks")  # the one line


@huey.task()
@huey.lock_task("import-orders")
def import_orders(source: str) -> str:
    return f"imported {source}"


def main() -> None:
    """Run one import, then skip three while another task holds the lock."""
    kept = import_orders("monday.csv")
    work_off()
    with huey.lock_task("import-orders"):
        for source in ("tuesday.csv", "wednesday.csv", "thursday.csv"):
            import_orders(source)
        work_off()
    print("result:", kept.get())
    print("left in the store:", huey.result_count())


def work_off() -> None:
    """Execute tasks as a worker of ``huey_consumer`` does, until the queue is empty."""
    while (task := huey.dequeue()) is not None:
        huey.execute(task)


if __name__ == "__main__":
    main()
