"""Quiet locks in an existing app: one line, and skips no longer pile up as errors.

Problem: a task that runs every minute meets the lock of the run before it, and Huey stores an
error for each skip, which nobody reads. Here is an app as it was, with the one line added.

Trade-off: nothing is stored for a skip, so whoever waits for the result of a skipped task must
wait with a timeout.
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
    """Run the app: one import works, then somebody else has the lock for three more."""
    kept = import_orders("monday.csv")
    work_off()
    with huey.lock_task("import-orders"):
        for source in ("tuesday.csv", "wednesday.csv", "thursday.csv"):
            import_orders(source)
        work_off()
    print("result:", kept.get())
    print("left in the store:", huey.result_count())


def work_off() -> None:
    """Do what a worker of ``huey_consumer`` does, until the queue is empty."""
    while (task := huey.dequeue()) is not None:
        huey.execute(task)


if __name__ == "__main__":
    main()
