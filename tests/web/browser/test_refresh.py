"""The page refreshes itself without disturbing its reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from huey_signals_kit.cli._web.server import PageServer
from tests.support import hold, wait_until
from tests.web.browser.webdriver import PHONE, Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS = 60
_MANY = 30
_QUICK = """
const wait = window.setTimeout, ask = window.fetch;
let count = 0;
window.setTimeout = (run, time) => wait(run, time / 20);
window.fetch = (...words) => { count += 1; return ask(...words); };
window.refreshes = () => count;
"""
_LONG = "await new Promise(done => setTimeout(done, 20000)); return refreshes()"
"""Four intervals of a quick page."""


@pytest.fixture
def locked(make_huey: Callable[..., Any]) -> Any:
    """A queue with many locks."""
    huey = make_huey("redis")
    for number in range(_MANY):
        hold(huey, f"lock-{number:02}")
    return huey


@pytest.fixture
def quick(browser: Browser) -> Iterator[Browser]:
    """A narrow browser whose pages refresh 20 times as often, and count it."""
    added = browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=_QUICK)
    browser.look(size=PHONE)
    yield browser
    browser.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])
    browser.open("about:blank")


@pytest.fixture
def shown(locked: Any, quick: Browser) -> Iterator[Browser]:
    """A browser that shows the page of the locks."""
    server = PageServer(locked, "127.0.0.1", 0, "", False)
    with server.serving():
        quick.open(f"{server.url}locks")
        wait_until(lambda: quick.run("return refreshes() > 0"), SECONDS, "a refresh")
        yield quick


def next_refresh(browser: Browser) -> None:
    """Wait until the page has been refreshed twice."""
    before = browser.run("return refreshes()")
    wait_until(lambda: browser.run("return refreshes()") >= before + 2, SECONDS, "refreshes")


def test_new_content_appears_where_the_reader_is(shown: Browser, locked: Any) -> None:
    """The page and the table stay scrolled, and the box of the table keeps the focus."""
    box = "document.querySelector('.scroll')"
    shown.run(f"scrollTo(0, 400); {box}.focus(); {box}.scrollLeft = 120; window.loaded = true")
    hold(locked, "zz-new")
    wait_until(lambda: "zz-new" in shown.text, SECONDS, "the new lock")
    assert shown.run(f"return [scrollY, {box}.scrollLeft]") == [400, 120]
    assert shown.run(f"return document.activeElement === {box}")
    assert shown.run("return window.loaded")


def test_a_control_with_the_focus_is_left_alone(shown: Browser) -> None:
    """Also a selected text and a hidden tab; afterwards the page is refreshed again."""
    pauses = {
        "document.querySelector('main a').focus()": "document.activeElement.blur()",
        "getSelection().selectAllChildren(document.querySelector('h1'))": "getSelection().empty()",
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true})": (
            "delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))"
        ),
    }
    for begin, end in pauses.items():
        shown.run(begin)
        before = shown.run("await new Promise(done => setTimeout(done, 5000)); return refreshes()")
        assert shown.run(_LONG) == before
        shown.run(end)
        next_refresh(shown)


def test_a_server_that_is_away_is_said(quick: Browser, locked: Any) -> None:
    """After a failed refresh the content stays, and is marked as out of date once."""
    server = PageServer(locked, "127.0.0.1", 0, "", False)
    with server.serving():
        quick.open(f"{server.url}locks")
    wait_until(lambda: "out of date" in quick.text, SECONDS, "a word about it")
    next_refresh(quick)
    assert quick.text.count("out of date") == 1
    assert "lock-00" in quick.text
