"""Your own handler, with a filter and a verdict.

Problem: the payment provider sometimes answers 503. Huey retries the task, so the errors of the
first two attempts need not be stored. The error of the third attempt must be stored and reported.

Trade-off: a handler runs in the worker, before the result is stored, so it must be fast.
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
    print("giving up: this order needs attention")
    return None  # no verdict: Huey stores the error


def main() -> None:
    """Run the task, which fails three times."""
    charge(17)
    while (task := huey.dequeue()) is not None:  # what a worker of huey_consumer does
        huey.execute(task)
    print("errors stored:", huey.result_count())
    print("errors not stored:", kit.count("huey_results_suppressed_total"))


if __name__ == "__main__":
    main()
