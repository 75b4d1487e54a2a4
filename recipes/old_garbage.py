"""A queue that has run for years without the kit.

Problem: the result store is full of lock errors that nobody reads, and of revoke tokens whose
tasks are long gone.

Trade-off: an orphaned token is deleted only by a second sweep, at least ``min_age`` seconds after
the first (a day by default), as nobody can look into the hands of an application. In a consumer,
``sweep_interval=3600`` does that by itself; from a shell, ``huey-signals purge`` and
``huey-signals sweep``.
"""

from __future__ import annotations

from huey import MemoryHuey

from huey_signals_kit import install_handlers

huey = MemoryHuey("shop")


@huey.task()
@huey.lock_task("report")
def report() -> str:
    """Fails when another worker is at it."""
    return "done"


def run_bare() -> None:
    """What bare Huey leaves behind: an error, and a token that came too late."""
    with huey.lock_task("report"):
        report()
        huey.execute(huey.dequeue())  # what a worker of huey_consumer does
    result = report()
    huey.execute(huey.dequeue())
    result()
    result.revoke()


def main() -> None:
    """Clean up."""
    for _ in range(3):
        run_bare()
    kit = install_handlers(huey)
    print("stored errors:", kit.report().errors)
    print("would be deleted:", kit.purge_errors(dry_run=True).deleted)
    print("deleted:", kit.purge_errors().deleted)
    swept = kit.sweep_tokens()
    print(f"tokens: {swept.scanned} read, {swept.marked} marked for a sweep a day later")


if __name__ == "__main__":
    main()
