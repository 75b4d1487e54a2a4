"""The tasks of a shop, with the kit and a handler of its own."""

from __future__ import annotations

import os

from huey import RedisHuey

from huey_signals_kit import DROP, Event, Verdict, expire, install_handlers

# pytest sets PYTEST_VERSION. In immediate mode Huey runs a task where it is called, and keeps
# everything in memory: no Redis is needed.
TESTING = "PYTEST_VERSION" in os.environ or os.environ.get("SHOP_TESTING") == "1"
huey = RedisHuey("shop", immediate=TESTING)
kit = install_handlers(huey, preset="quiet-locks", sinks="auto")

mails: list[str] = []


class CardRefused(Exception):
    """The bank refused a card."""


@huey.task()
@huey.lock_task("import")
def import_orders(file: str) -> str:
    return f"imported {file}"


@huey.task(lock_errors="keep")
@huey.lock_task("ledger")
def close_books() -> None: ...


@huey.task(retries=2)
def charge(order: int, card: str) -> str:
    if card != "valid":
        raise CardRefused(card)
    return f"charged order {order}"


@kit.on("error", exceptions=CardRefused, tasks="*.charge")
def tell_customer(event: Event) -> Verdict:
    """Store nothing while Huey tries again; then tell the customer, and store a small error."""
    if event.will_retry:
        return DROP
    mails.append(f"order {event.task.args[0]} was not paid: {event.exception}")
    return expire(3600)
