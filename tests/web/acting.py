"""Requests as a browser sends them: open a confirmation, send its form."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qsl, urlsplit

from huey_signals_kit.web import Request
from tests.support import wait_until

SAME = {"host": "ops.example", "sec-fetch-site": "same-origin"}
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e{{7*7}}"


def get(site, path, **fields):
    """Return the response to a GET of a path with its query, when the storage has answered."""
    parts = urlsplit(path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return _answer(site, Request("GET", parts.path, query=query, **fields))


def _answer(site, request):
    last = []

    def answered():
        last[:] = [site.respond(request)]
        return last[0].status != 503

    wait_until(answered, 20, "the storage")
    return last[0]


def post(site, path, form, headers=SAME, **fields):
    """Return the response to a form."""
    parts = urlsplit(path)
    return _answer(site, Request("POST", parts.path, headers=headers, form=form, **fields))


def text_of(response):
    """Return the text of a page, without HTML tags."""
    return unescape(re.sub(r"<[^>]+>", "", response.body.decode()))


def form_of(response):
    """Return the address and the fields of the form on a page; None if it has none."""
    body = response.body.decode()
    found = re.search(r'<form method="post" action="([^"]*)">(.*?)</form>', body, re.DOTALL)
    if found is None:
        return None
    pairs = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', found[2])
    pairs += re.findall(
        r'<select name="([^"]*)">.*?<option value="([^"]*)" sel', found[2], re.DOTALL
    )
    return unescape(found[1]), {unescape(name): unescape(value) for name, value in pairs}


def confirm(site, path, **fields):
    """Open a confirmation and send its form; return the response."""
    page = get(site, path, **fields)
    form = form_of(page)
    assert form is not None, text_of(page)
    return post(site, *form, **fields)


def notice_of(site, response):
    """Follow a redirect; return the notice of the page."""
    assert response.status == 303, text_of(response)
    page = get(site, dict(response.headers)["Location"])
    found = re.search(r'role="status">([^<]*)<', page.body.decode())
    return found and unescape(found[1])
