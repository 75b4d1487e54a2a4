"""Every page in a real browser: light, dark and narrow, by itself and in Django's admin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from huey_signals_kit.web._pages import PAGES
from tests.support import wait_until
from tests.web.browser.axe import violations
from tests.web.browser.shop import Shop
from tests.web.browser.walk import walk
from tests.web.browser.webdriver import DESKTOP, Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WIDTHS = [(360, 740), (390, 844), DESKTOP, (1600, 900)]
_IS_TOO_WIDE = "const root = document.scrollingElement; return root.scrollWidth > root.clientWidth"


def problems_of(browser: Browser, axe: str, name: str) -> list[str]:
    """Return everything that is wrong with the look of the page that the browser shows."""
    found = [f"console: {message}" for message in browser.console()]
    if browser.status != 200:
        found.append(f"status {browser.status}")
    for size in WIDTHS:
        browser.look(size=size)
        if browser.run(_IS_TOO_WIDE):
            found.append(f"the page scrolls sideways at a width of {size[0]}")
    for dark in (False, True):
        browser.look(dark=dark)
        found += [f"{'dark' if dark else 'light'}: {each}" for each in violations(browser, axe)]
    browser.console()
    return [f"{name}: {each}" for each in found]


def test_every_page_can_be_read_by_anybody(
    make_shop: Callable[[], Shop], browser: Browser, axe: str
) -> None:
    """Light, dark and narrow; by keyboard and screen reader; with nothing on the console."""
    shop, seen, problems = make_shop(), set(), []
    with shop.playground.consumers(shop.folder, 2), shop.served("--allow-acts") as url:
        for _ in range(20):
            shop.playground.feed()
        browser.open(f"{url}consumers")
        wait_until(lambda: _shows(browser, "import_orders"), 60, "a running task")
        browser.console()
        for name, _ in walk(browser, url, *shop.unlinked):
            seen.add(name)
            problems += problems_of(browser, axe, name)
    assert problems == []
    assert seen >= set(PAGES)


def _shows(browser: Browser, text: str) -> bool:
    browser.open(browser.url)
    return text in browser.text
