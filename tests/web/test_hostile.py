"""Hostile names and values in every key, id, lock, task, host and error: shown, never obeyed."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from html import unescape
from itertools import cycle
from urllib.parse import quote

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey

from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.metrics.names import LOCK_REFUSALS, LOCK_SKIPS, SIGNALS_TOTAL
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.web import Request, Site
from huey_signals_kit.web._pages import PAGES
from tests.selection import slow_except
from tests.support import hold, put_kit_data, wait_until
from tests.web.acting import get, text_of
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


LISTS = [name for name, page in PAGES.items() if not page.is_of_object]


def check_all_pages(huey):
    """Check that every page with a list, and every page of a task, is shown."""
    site = Site(huey, access=lambda request: "read")
    for path in [f"/{name}{end}" for name in LISTS for end in ("", ".json")]:
        if not path.startswith("/act/"):
            assert get(site, path).status == 200, path
    for path in ("/task?id=a", "/task?name=shop.pay", "/lock?name=import"):
        assert get(site, path).status == 200, path
    return site


def test_a_name_that_no_key_can_have_is_shown_escaped():
    """A record of another process may have a lone surrogate where a name belongs."""
    huey, name, now = MemoryHuey("shop"), "\ud800x", time.time()
    hold(huey, "import")
    huey.put("rt:shop.pay", (None, False))
    counts = {
        (SIGNALS_TOTAL, "shop", name, "complete"): 1,
        (LOCK_SKIPS, "shop", name, name): 1,
        (LOCK_REFUSALS, "shop", name): 1,
    }
    running = (RunningTask(name, name, now, (name,)),)
    record = Heartbeat(
        "a" * 32, this_process(), name, now, running=running, locks=(name,), counters=counts
    )
    open_ledger(huey).write(record)
    site = check_all_pages(huey)
    assert "\\ud800x" in text_of(get(site, "/consumers"))


@pytest.mark.parametrize(
    "row",
    [
        ["signal", [1]],
        ["signal", "x", [1]],
        ["signal", "x", "complete", "more", [1]],
        ["refusal", [1]],
        ["attempt", "x", "y", [1]],
        ["unknown", [1]],
        ["unknown", "a", "b", "c", [1]],
        [[1]],
        [[[1]]],
        [],
        ["signal", "x", "complete", [1.5]],
        {"signal": 1},
        5,
    ],
)
def test_a_history_of_other_rows_takes_no_page_away(row):
    """A row with other labels than its kind has is no row of a history."""
    huey, hour = MemoryHuey("shop"), int(time.time() // 3600)
    hold(huey, "import")
    huey.put("rt:shop.pay", (None, False))
    for key in (hour, hour + 1):
        content = {"version": 1, "first": key * 60, "rows": [row]}
        put_kit_data(huey, f"history:{key % 5}", json.dumps(content).encode())
    check_all_pages(huey)


def test_an_error_inside_a_page_is_not_called_not_found(monkeypatch, caplog):
    """Its text may have anything, so it goes to the log only."""
    huey = MemoryHuey("shop")
    site = Site(huey, access=lambda request: "read")

    def fail(visit):
        raise KeyError("internal text")

    monkeypatch.setitem(PAGES, "locks", replace(PAGES["locks"], read=fail))
    response = site.respond(Request("GET", "/locks"))
    assert response.status == 500
    assert "internal text" not in text_of(response)
    assert "internal text" in caplog.text
