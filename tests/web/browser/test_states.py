"""Pages that have little to show: an empty queue, no access, a wrong address, a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from huey_signals_kit.cli._web.server import PageServer
from huey_signals_kit.web._pages import PAGES
from tests.support import hold
from tests.web.browser.test_pages import problems_of
from tests.web.browser.webdriver import Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TAB, ENTER = "\ue004", "\ue007"


def test_an_empty_queue_and_refusals_can_be_read(
    make_huey: Callable[..., Any], browser: Browser, axe: str
) -> None:
    """Each says in a sentence what is so, and leads on; the status of a refusal is its own."""
    huey, problems = make_huey("redis"), list[str]()
    server = PageServer(huey, "127.0.0.1", 0, "", True)
    with server.serving():
        of_queue = [name for name, page in PAGES.items() if not page.is_of_object]
        hold(huey, "legacy")
        refusals = ["lock?name=nothing", "act/release?name=legacy", "nothing"]
        for path in (*of_queue, *refusals):
            browser.open(f"{server.url}{path}")
            found = problems_of(browser, axe, path)
            problems += [each for each in found if " 404" not in each]
            assert len(browser.run("return document.querySelector('main').innerText")) > 30
    assert problems == []


def test_the_keyboard_reaches_the_content(make_huey: Callable[..., Any], browser: Browser) -> None:
    """The first key shows a link that skips the navigation; what has the focus is outlined."""
    server = PageServer(make_huey("redis"), "127.0.0.1", 0, "", True)
    active = "document.activeElement"
    with server.serving():
        browser.open(f"{server.url}tokens")
        browser.press(TAB)
        assert browser.run(f"return {active}.textContent") == "Skip to the content"
        assert browser.run(f"return {active}.getBoundingClientRect().height > 15")
        browser.press(ENTER)
        browser.press(TAB)
        assert browser.run(f"return Boolean({active}.closest('main'))")
        assert browser.run(f"return getComputedStyle({active}).outlineStyle") == "solid"
