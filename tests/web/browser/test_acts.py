"""Every act in a real browser, and who cannot do it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from huey_signals_kit.web._guard import ACTS
from huey_signals_kit.web._pages import PAGES
from tests.web.browser.acts import acts_on, do
from tests.web.browser.shop import Shop
from tests.web.browser.walk import walk
from tests.web.browser.webdriver import Browser, BrowserError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_person_can_do_every_act(make_shop: Callable[[], Shop], browser: Browser) -> None:
    """Without JavaScript: by a confirmation and its button; run-again says why it is impossible."""
    shop = make_shop()
    acts, done = acts_on(shop), set()
    with shop.served("--allow-acts") as url, browser.without("*page.js"):
        browser.open(f"{url}act/run-again?id={shop.failed}")
        assert "cannot be run again" in browser.text
        with pytest.raises(BrowserError, match="no such element"):
            browser.find("form")
        for act in acts:
            do(browser, url, act)
            done.add(act.name)
    assert done | {"run-again"} == ACTS


def test_a_read_only_user_sees_no_action(make_shop: Callable[[], Shop], browser: Browser) -> None:
    """Without ``--allow-acts`` no page has a form that changes something, and none shows one."""
    shop = make_shop()
    with shop.served() as url:
        for name, _ in walk(browser, url):
            assert not name.startswith("act/")
            assert not browser.run("return Boolean(document.querySelector('form[method=post]'))")
        for name in (name for name in PAGES if name.startswith("act/")):
            browser.open(f"{url}{name}")
            assert browser.status == 403
            assert "You may view this queue, but not use the action" in browser.text
