"""A handler of one's own, with a filter and a verdict.

Problem: the payment provider answers 503 now and then. The task is tried again anyway, so one
such error is not worth storing; the third in a row is, and somebody should hear of it.

Trade-off: a handler runs in the worker, between the task and its result, so it must be quick.
"""

from __future__ import annotations

from huey import MemoryHuey
from huey.signals import SIGNAL_ERROR

from huey_signals_kit import DROP, Event, Verdict, install_handlers

huey = MemoryHuey("shop")
kit = install_handlers(huey)


class Unavailable(Exception):
    """The payment provider answered 503."""


@huey.task(retries=2)
def charge(order: int) -> None:
    raise Unavailable(f"order {order}")


@kit.on(SIGNAL_ERROR, exceptions=Unavailable, tasks=charge)
def only_the_last_counts(event: Event) -> Verdict | None:
    print(f"attempt {event.attempt} of {event.task_name}: {event.exception}")
    if event.will_retry:
        return DROP
    print("giving up: somebody should look at this")
    return None  # no opinion: Huey stores the error


def main() -> None:
    """Run the task, which fails three times."""
    charge(17)
    while (task := huey.dequeue()) is not None:  # what a worker of huey_consumer does
        huey.execute(task)
    print("errors stored:", huey.result_count())
    print("errors not stored:", kit.count("huey_results_suppressed_total"))


if __name__ == "__main__":
    main()
