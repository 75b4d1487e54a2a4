"""A walk through all pages, along their links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from urllib.parse import urlsplit

from tests.support import wait_until
from tests.web.browser.webdriver import Browser

_SECONDS = 60
_LINKS = "return [...document.links].map(link => link.href.split('#')[0])"


def walk(browser: Browser, base: str, *others: str, most: int = 2) -> Iterator[tuple[str, str]]:
    """Open each page that links lead to, and yield its name and its address.

    Args:
        browser: The browser, in which the caller may do anything between two pages.
        base: The address of the overview, with a slash at its end.
        *others: Pages that no link leads to, as paths below the base.
        most: How many pages of one name are opened, such as those of different locks.
    """
    waiting = [base, *(base + path for path in others)]
    known, opened = set(waiting), Counter[str]()
    while waiting:
        address = waiting.pop(0)
        name = urlsplit(address).path.removeprefix(urlsplit(base).path) or "overview"
        if opened[name] >= most:
            continue
        opened[name] += 1
        wait_until(partial(_open, browser, address), _SECONDS, f"the whole page at {address}")
        links = [link for link in browser.run(_LINKS) if link.startswith(base)]
        waiting += [link for link in dict.fromkeys(links) if link not in known]
        known.update(links)
        yield name, address


def _open(browser: Browser, address: str) -> bool:
    """Open a page, and return whether it shows what was read, not that it is being read."""
    browser.open(address)
    if browser.status != 503 and " being read" not in browser.text:
        return True
    browser.console()  # drop the message that the browser logs for a 503
    return False
