"""Requests of any form: a page, a refusal, and never a failure or a released live lock."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import uuid4

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey
from huey.utils import Error
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huey_signals_kit.testing import held_lock
from huey_signals_kit.web import Request, Site
from huey_signals_kit.web._pages import PAGES
from huey_signals_kit.web._request import read_request
from huey_signals_kit.web._site import FILES
from huey_signals_kit.web._switches import digest
from tests.support import locks
from tests.web.acting import SAME

FAR = datetime(2099, 1, 1)
LOCK = "import"
STATUSES = {200, 303, 400, 403, 404, 405, 409, 411, 413, 415, 503}


class Shop:
    """A queue with one of each kind, a live lock among them, and its page with all rights."""

    def __init__(self):
        self.huey = huey = MemoryHuey("shop")

        @huey.task(name="job")
        def job(n=0):
            return n

        self.job = job
        self.site = Site(huey, access=lambda request: "act")
        self.waiting = job.schedule(eta=FAR)
        huey.add_schedule(huey.dequeue())
        self.failed = str(uuid4())
        self.known = [LOCK, self.waiting.id, self.failed, "job", f"{job.task_class.__module__}.job"]

    def fill(self):
        """Put back what a request may have removed."""
        self.huey.revoke_by_id(self.waiting.id)
        self.huey.put_result(self.failed, Error({"error": "TaskLockedException('x')"}))
        self.huey.revoke_all(self.job.task_class, revoke_until=FAR)


@pytest.fixture(scope="module")
def shop():
    """One shop for all examples, whose lock another process holds all the time."""
    shop = Shop()
    with held_lock(shop.huey, LOCK):
        raw = shop.huey.storage.peek_data(f"shop.lock.{LOCK}")
        shop.known.append(digest(bytes(raw)))
        yield shop


text = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(codec=None), max_size=4),
    st.sampled_from(["", "0", "-1", "1e400", "x" * 5000, "../..", "r:", "rt:", "\0", "\r\nA: b"]),
)
NAMES = (
    "name",
    "id",
    "key",
    "value",
    "acquisition",
    "at",
    "done",
    "trace",
    "sure",
    "limit",
    "page",
)
names = st.one_of(st.sampled_from(NAMES), text)
words = [f"/{name}{end}" for name in PAGES for end in ("", ".json", "/", "//x")]
paths = st.one_of(
    st.sampled_from([*words, *FILES, "/", "/shop", "/shop/locks"]),
    text.map(lambda each: f"/{each}"),
)
methods = st.one_of(st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE"]), text)


def fields(shop):
    """Return a strategy of queries and forms, with what is in the shop and with other values."""
    return st.dictionaries(names, st.one_of(st.sampled_from(shop.known), text), max_size=5)


headers = st.one_of(
    st.just(SAME),
    st.dictionaries(
        st.sampled_from(["host", "origin", "sec-fetch-site", "content-type", "accept", "referer"]),
        text,
        max_size=4,
    ).map(lambda more: {**SAME, **more}),
)
fuzzed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def answer(shop, request):
    """Return the response, which is one of those that there are; the live lock has stayed."""
    shop.fill()
    response = shop.site.respond(request)
    assert response.status in STATUSES, request
    for name, value in response.headers:
        assert "\r" not in name + value
        assert "\n" not in name + value
    if response.content_type == "application/json":
        json.loads(response.body)
    assert locks(shop.huey) == {LOCK}, request
    return response


@fuzzed
@given(st.data())
def test_no_request_fails_or_releases_a_live_lock(shop, data):
    """Whatever stands in its path, query, form and headers."""
    method, path = data.draw(methods), data.draw(paths)
    query, form = data.draw(fields(shop)), data.draw(fields(shop))
    answer(shop, Request(method, path, query=query, headers=data.draw(headers), form=form))


@pytest.mark.slow
@fuzzed
@given(st.data())
def test_no_act_on_a_live_lock_releases_it(shop, data):
    """With its name and its true acquisition, and any other fields."""
    path = data.draw(st.sampled_from([word for word in words if word.startswith("/act/")]))
    form = {**data.draw(fields(shop)), "name": LOCK, "acquisition": shop.known[-1]}
    answer(shop, Request("POST", path, query=form, headers=SAME, form=form))


@pytest.mark.slow
@fuzzed
@given(
    methods,
    text,
    st.one_of(text, st.binary(max_size=8)),
    st.binary(max_size=60),
    st.lists(st.tuples(st.sampled_from(["Host", "COOKIE", "Content-Type"]), text), max_size=3),
    st.one_of(st.binary(max_size=60), st.sampled_from([400, 411, 413])),
)
def test_bytes_of_any_form_are_a_request(shop, method, path, prefix, query, headers, body):
    """As a server hands them on."""
    request = read_request(method, path, prefix, query, headers, body)
    answer(shop, request)
