"""Another site cannot make a browser change anything: its forms are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import wait_until
from tests.web.browser.acts import acts_on
from tests.web.browser.shop import Shop
from tests.web.browser.webdriver import Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS = 60
_FORM = """
const form = document.querySelector('form[method=post]');
return form && [form.action, [...new FormData(form)]];
"""


@contextmanager
def hostile_site() -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the port of a server, and its pages by path, which a test may add to."""
    pages: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, "").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], pages
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def attack(action: str, fields: list[tuple[str, str]]) -> str:
    """Return a page that sends a form as soon as it is opened."""
    inputs = "".join(
        f'<input name="{escape(name)}" value="{escape(value)}">' for name, value in fields
    )
    return (
        f'<!doctype html><form method="post" action="{escape(action)}">{inputs}</form>'
        "<script>document.forms[0].submit()</script>"
    )


def test_a_form_of_another_site_is_refused(make_shop: Callable[[], Shop], browser: Browser) -> None:
    """Another port, and another name of this machine, send each form with all its fields."""
    shop = make_shop()
    with shop.served("--allow-acts") as url, hostile_site() as (port, pages):
        for act in acts_on(shop):
            browser.open(f"{url}act/{act.path}")
            found = wait_until(lambda: _form(browser), SECONDS, f"the form of {act.name}")
            pages[f"/{act.name}"] = attack(*found)
            before = shop.stored
            for host in ("127.0.0.1", "localhost"):
                browser.open(f"http://{host}:{port}/{act.name}")
                wait_until(lambda: browser.url.startswith(url), SECONDS, "the form to be sent")
                assert urlsplit(browser.url).path == urlsplit(found[0]).path
                assert browser.status == 403
                assert "does not come from a page of this site" in browser.text
            assert not act.is_done()
            assert shop.stored == before


def _form(browser: Browser) -> Any:
    found = browser.run(_FORM)
    if not found:
        browser.open(browser.url)
    return found
