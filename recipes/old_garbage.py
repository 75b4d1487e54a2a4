"""A queue that ran for years without the kit.

Problem: the result store is full of lock errors that are not read, and of revoke tokens whose
tasks no longer exist.

Trade-off: an orphaned token is deleted only by a second sweep, at least ``min_age`` seconds after
the first (default: one day), because the kit cannot see tasks that an application holds in memory.
In a consumer, ``sweep_interval=3600`` runs the sweeps. From a shell, use ``huey-signals purge`` and
``huey-signals sweep``.
"""

from __future__ import annotations

from huey import MemoryHuey

from huey_signals_kit import install_handlers

huey = MemoryHuey("shop")


@huey.task()
@huey.lock_task("report")
def report() -> str:
    """Make the report; fails while another worker holds the lock."""
    return "done"


def run_bare() -> None:
    """Leave what bare Huey leaves: a lock error, and a token that was set too late."""
    with huey.lock_task("report"):
        report()
        huey.execute(huey.dequeue())  # what a worker of huey_consumer does
    result = report()
    huey.execute(huey.dequeue())
    result()
    result.revoke()


def main() -> None:
    """Purge the errors and sweep the tokens."""
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
