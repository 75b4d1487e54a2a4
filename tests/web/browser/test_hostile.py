"""Hostile names and values in a real browser: nothing of them runs or loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from huey_signals_kit.cli._web.server import PageServer
from huey_signals_kit.web._pages import PAGES
from tests.support import wait_until
from tests.web.browser.walk import walk
from tests.web.browser.webdriver import PHONE, Browser
from tests.web.hostile import fill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_FOREIGN = """
const strange = document.querySelectorAll('img, iframe, object, embed, base, style, audio, video');
return [window.hacked, strange.length, document.scripts.length, document.forms.length > 1,
        document.scrollingElement.scrollWidth > document.scrollingElement.clientWidth];
"""


def test_nothing_hostile_runs(
    make_huey: Callable[..., Any], browser: Browser, tmp_path: Path
) -> None:
    """No script of a name, no file that it names, no dialog; and the page stays in its width."""
    huey, trap, seen = make_huey("redis"), tmp_path / "trap", set()
    fill(huey, trap)
    server = PageServer(huey, "127.0.0.1", 0, "", True)
    with server.serving():
        browser.look(size=PHONE)
        browser.open(f"{server.url}tokens")
        wait_until(lambda: _shows(browser, "window.hacked"), 60, "the report")
        browser.console()
        for name, address in walk(browser, server.url, most=4):
            seen.add(name)
            assert browser.run(_FOREIGN) == [None, 0, 1, False, False], address
            assert browser.console() == [], address
    assert not trap.exists()
    assert seen >= {name for name in PAGES if not name.startswith("act/")}


def _shows(browser: Browser, text: str) -> bool:
    browser.open(browser.url)
    return text in browser.text
