"""Hostile names and values in every key, id, lock, task, host and error: shown, never obeyed."""

from __future__ import annotations

import re
from html import unescape
from itertools import cycle
from urllib.parse import quote

import pytest

pytest.importorskip("jinja2")

from huey_signals_kit.web import Site
from huey_signals_kit.web._pages import PAGES
from tests.selection import slow_except
from tests.support import wait_until
from tests.web.acting import get
from tests.web.hostile import BIG, NAMES, fill

MARKS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069]")
TAG = re.compile(r"<(?:script|img|svg|iframe|b|style|title|base|meta)\b[^>]*>")
OWN_TAG = re.compile(
    r'<(?:script src="/static/page\.js" defer|meta (?:charset|name)="[^"<>]*"[^<>]*|title'
    r'|svg viewBox="[^"<>]*" [^<>]*)>'
)
KINDS = ["memory", "sqlite", "redis", "postgres", "file"]
NAMES_OF_PAGE = 2
"""How many names the page of one lock or task is opened for; pages with lists show all."""


def paths():
    """Return the path of each page, and of the pages of one object with some of the names."""
    names = cycle([*NAMES, BIG[:5000], "bomb"])
    found = []
    for path, page in PAGES.items():
        if not page.is_of_object and path not in ("lock", "task"):
            found.append(f"/{path}")
            continue
        for name in (quote(next(names), safe="") for _ in range(NAMES_OF_PAGE)):
            found.append(f"/{path}?name={name}&key=r:{name}")
            if path == "task" or path.startswith("act/re"):
                found.append(f"/{path}?id={name}")
    return found


@pytest.mark.parametrize("any_kind", slow_except(["redis"], KINDS))
def test_nothing_hostile_is_obeyed(any_huey, tmp_path, thorough):
    """No tag, no link, no escape code, no mark of direction, no pickle; and no endless page."""
    trap = tmp_path / "trap"
    fill(any_huey, trap, is_big=thorough)
    site = Site(any_huey, access=lambda request: "act")
    wait_until(lambda: b"Kept on purpose" in get(site, "/store").body, 20, "the report")
    shown = ""
    for path in paths():
        response = get(site, path)
        text = response.body.decode()
        shown += text
        assert response.status in (200, 404), path
        assert len(text) < 400_000, path
        assert MARKS.search(text.replace("\n", "")) is None, path
        assert [tag[0] for tag in TAG.finditer(text) if not OWN_TAG.fullmatch(tag[0])] == []
        assert all(link[:1] in "/#" for link in re.findall(r'(?:href|action)="([^"]*)"', text))
    assert "{{7*7}}{% raw %}{#" in unescape(shown)
    assert "\\u202egnp.exe\\u2066" in shown
    assert not trap.exists()
