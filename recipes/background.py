"""A slow handler in the background.

Problem: the handler sends a mail when the report was skipped. A mail takes seconds, and a handler
usually runs in the worker, which would have to wait.

Trade-off: the handler runs later, so it cannot return a verdict. When a thousand events wait, the
oldest is dropped. At exit the process waits up to five seconds for the events that are left.
Events that are lost either way are counted in ``huey_events_dropped_total``.
"""

from __future__ import annotations

import threading

from huey import MemoryHuey
from huey.signals import SIGNAL_LOCKED

from huey_signals_kit import Event, install_handlers

huey = MemoryHuey("shop")
kit = install_handlers(huey)
worker_is_done = threading.Event()


@huey.task()
@huey.lock_task("report")
def report() -> None:
    """Make the report; skipped here, because another worker holds the lock."""


@kit.on(SIGNAL_LOCKED, background=True)
def send_mail(event: Event) -> None:
    worker_is_done.wait(10)  # a slow mail server
    print(f"mailed: {event.lock} was skipped, its lock was held")


def main() -> None:
    """Skip the task. At exit the process waits for the mail."""
    with huey.lock_task("report"):
        report()
        huey.execute(huey.dequeue())  # what a worker of huey_consumer does
    print("the worker is done")
    worker_is_done.set()


if __name__ == "__main__":
    main()
