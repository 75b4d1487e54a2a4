"""Every act of the page, as a person does it, and what it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from huey_signals_kit.upkeep import report
from tests.support import locks, wait_until
from tests.web.browser.shop import PAUSED, Shop
from tests.web.browser.webdriver import Browser

SECONDS = 60
_HAS_NOTICE = "return Boolean(document.querySelector('[role=status], .facts'))"
_INVOICE, _PRICES = "shop.send_invoice", "shop.refresh_prices"


@dataclass(frozen=True)
class Act:
    """One act.

    Args:
        name: Its name.
        path: The path of its confirmation, with the query.
        shown: A word that the confirmation has, such as the object.
        is_done: Returns whether the store is as it should be afterwards.
    """

    name: str
    path: str
    shown: str
    is_done: Callable[[], Any]


def acts_on(shop: Shop) -> list[Act]:
    """Return all acts that are possible on the queue, in an order in which none undoes another."""
    orphan, other = sorted(key[2:] for key in shop.stored if key.startswith("r:"))[:2]
    queued = shop.queued[0].id

    def count(name: str) -> int:
        return sum(task.name == name.rpartition(".")[2] for task in shop.queued)

    def errors() -> int:
        return sum(b"TaskLockedException" in value for value in shop.stored.values())

    before = count(_PRICES)
    return [
        Act(
            "release",
            "release?name=reports/nightly",
            "reports/nightly",
            lambda: "reports/nightly" not in locks(shop.huey),
        ),
        Act(
            "delete-token",
            f"delete-token?key=r:{orphan}",
            orphan,
            lambda: f"r:{orphan}" not in shop.stored,
        ),
        Act("restore", f"restore?id={other}", other, lambda: f"r:{other}" not in shop.stored),
        Act("revoke", f"revoke?id={queued}", queued, lambda: f"r:{queued}" in shop.stored),
        Act("pause", f"pause?name={_INVOICE}", _INVOICE, lambda: f"rt:{_INVOICE}" in shop.stored),
        Act("resume", f"resume?name={PAUSED}", PAUSED, lambda: f"rt:{PAUSED}" not in shop.stored),
        Act("run-now", f"run-now?name={_PRICES}", _PRICES, lambda: count(_PRICES) == before + 1),
        Act("sweep", "sweep", "tokens", lambda: report(shop.huey).tokens.marked > 0),
        Act("purge", "purge", "errors", lambda: errors() == 0),
    ]


def do(browser: Browser, base: str, act: Act) -> None:
    """Do an act as a person does, and check that it was done and is said to be done."""
    browser.open(f"{base}act/{act.path}")
    wait_until(lambda: _has_button(browser), SECONDS, f"the form of {act.name}")
    assert browser.status == 200
    assert act.shown in browser.text
    assert "The same" in browser.text
    assert not act.is_done()
    browser.click("button.go")
    wait_until(lambda: browser.run(_HAS_NOTICE), SECONDS, f"the notice of {act.name}")
    assert browser.status == 200
    wait_until(act.is_done, SECONDS, f"the effect of {act.name}")


def _has_button(browser: Browser) -> bool:
    """Return whether the page has its button; while the page still counts, load it again."""
    if browser.run("return Boolean(document.querySelector('button.go'))"):
        return True
    browser.open(browser.url)
    return False
