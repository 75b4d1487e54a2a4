"""A slow handler in the background.

Problem: somebody is to get a mail when the report had to wait, but a mail takes seconds, and a
handler runs in the worker.

Trade-off: it runs later, so it decides nothing. When a thousand events wait, the oldest goes; at
the end the process waits five seconds for what is left. Both are counted in
``huey_events_dropped_total``.
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
    """Does not run: another worker is at it."""


@kit.on(SIGNAL_LOCKED, background=True)
def send_mail(event: Event) -> None:
    worker_is_done.wait(10)  # a mail server takes its time
    print(f"mailed: {event.lock} had to wait for its lock")


def main() -> None:
    """Skip the task; the end of the process waits for the mail."""
    with huey.lock_task("report"):
        report()
        huey.execute(huey.dequeue())  # what a worker of huey_consumer does
    print("the worker is done")
    worker_is_done.set()


if __name__ == "__main__":
    main()
