"""One suite of requests under each server and framework that the page can be mounted in."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from html import unescape
from io import BytesIO
from urllib.parse import quote, urlencode

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("flask")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")
pytest.importorskip("django")

from huey import MemoryHuey, SqliteHuey
from starlette.authentication import SimpleUser

from huey_signals_kit import install_handlers
from huey_signals_kit.signals import page_action
from huey_signals_kit.web import MAX_BODY, asgi, wsgi
from huey_signals_kit.web._pages import NAVIGATION, PAGES
from huey_signals_kit.web._site import FILES
from huey_signals_kit.web._switches import digest
from tests.locks import GONE, taken_by
from tests.selection import slow_except
from tests.support import locks, wait_until
from tests.web.adapters import (
    DJANGO,
    FORM,
    IN_PROCESS,
    SAME_ORIGIN,
    SERVERS,
    UNICODE_PREFIX,
    Browser,
    DjangoSite,
    call_wsgi,
    opened,
)

PATHS = ["/", *FILES, *(f"/{name}" for name in PAGES), *(f"/{name}.json" for name in PAGES)]
RELEASE = "/act/release"
_numbers = itertools.count()
QUICK = ("wsgi", "starlette")
ALL = slow_except(QUICK, (*IN_PROCESS, *SERVERS, *DJANGO))
HTTP = [*SERVERS, "django-wsgi", "django-asgi"]
pytestmark = pytest.mark.storage("sqlite")


@pytest.fixture(scope="module")
def django_place(tmp_path_factory):
    """A Django project with the page, started when a test first needs it, and its queue."""
    made = []

    def place():
        if not made:
            file = tmp_path_factory.mktemp("django") / "queue.db"
            made.extend([DjangoSite(file), SqliteHuey("shop", filename=file)])
        return made

    yield place
    if made:
        made[0].close()


@pytest.fixture
def open_adapter(tmp_path, django_place):
    """A function that serves the page of a queue under an adapter; returns both."""
    made = []

    def open_one(name):
        if name in DJANGO:
            site, huey = django_place()
            made.append(huey)
            return site.adapter(name), huey
        huey = SqliteHuey("shop", filename=tmp_path / "queue.db")
        context = opened(name, huey)
        made.extend([huey, context])
        return context.__enter__(), huey

    yield open_one
    for each in reversed(made):
        if isinstance(each, SqliteHuey):
            each.flush()
            each.storage.close()
        else:
            each.__exit__(None, None, None)


@pytest.fixture(params=ALL)
def served(request, open_adapter):
    """An adapter and the queue of its page."""
    return open_adapter(request.param)


def check_is_safe(answer):
    """Check the headers that keep a page safe, and that the body is as long as they say."""
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "no-store" in answer.headers["cache-control"]


def links_of(answer):
    """Return where the links of a page lead."""
    if not answer.headers["content-type"].startswith("text/html"):
        return set()
    return {unescape(each) for each in re.findall(r'(?:href|src)="([^#"][^"]*)"', answer.text)}


def walk(browser, start):
    """Return the answer of every page that can be reached from a page, by link."""
    found, left = {}, {start}
    while left:
        link = left.pop()
        found[link] = browser.open(link)
        left |= links_of(found[link]) - set(found)
    return found


def hold_for_dead_process(huey):
    """Take a lock as a process that has died; return its name, which no other test uses."""
    name = f"caf\u00e9/a b?&\u0001{next(_numbers)}"
    taken_by(huey, name, GONE)
    return name


def find_release_form(browser, adapter, lock):
    """Return the form that releases a lock, once the page has seen that the holder is dead."""

    def form():
        for link in walk(browser, adapter.prefix + "/locks"):
            if quote(lock, safe="") in link and (found := browser.form(link)):
                return found
        return None

    return wait_until(form, 15, "the form that releases the lock")


def test_each_page_is_shown_and_every_link_leads_to_one(served):
    """The walk begins at the overview, stays below the prefix, and passes the whole navigation."""
    adapter, huey = served
    lock = hold_for_dead_process(huey)
    browser = adapter.browser("act")
    find_release_form(browser, adapter, lock)
    found = walk(browser, f"{adapter.prefix}/")
    assert {link: each.status for link, each in found.items() if each.status != 200} == {}
    assert {f"{adapter.prefix}/{page}" for page, _ in NAVIGATION} <= set(found)
    for path in PATHS:
        answer = browser.get(path)
        # Without the name of a lock or of a task, some have nothing to show.
        assert answer.status in (200, 404)
        check_is_safe(answer)


def test_without_access_every_path_is_refused(served):
    """The paths are those in the tables of the page, and all that an operator reaches by links."""
    adapter, huey = served
    lock = hold_for_dead_process(huey)
    operator, stranger = adapter.browser("act"), adapter.browser(None)
    find_release_form(operator, adapter, lock)
    reached = [link.removeprefix(adapter.prefix) for link in walk(operator, f"{adapter.prefix}/")]
    for path in {*PATHS, *reached, "/nothing", "/static/nothing"}:
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = stranger.get(path, method, **({} if method == "GET" else SAME_ORIGIN))
            assert (path, method, answer.status) == (path, method, 403)
            # The name of the lock. Three letters alone can be part of a random hexadecimal number.
            assert not re.search(rb"caf(\xc3|%c3|\\u00e9|&#)", answer.body, re.IGNORECASE)
            if method in ("GET", "HEAD"):
                check_is_safe(answer)


def test_head_gets_the_headers_of_get_and_no_body(served):
    """This is so for a page, a file, and a page that does not exist."""
    adapter, _ = served
    browser = adapter.browser("read")
    for path in ("/static/page.css", "/healthz", "/nothing"):
        by_get, by_head = browser.get(path), browser.get(path, "HEAD")
        assert by_head.status == by_get.status
        assert by_head.body == b""
        assert int(by_head.headers["content-length"]) == len(by_get.body)
        check_is_safe(by_head)


def test_a_form_of_the_page_releases_the_lock_of_a_dead_holder(served):
    """The form of the page is accepted, with the cookies of the browser; a reader has no form."""
    adapter, huey = served
    lock = hold_for_dead_process(huey)
    browser = adapter.browser("act")
    action, fields = find_release_form(browser, adapter, lock)
    assert adapter.browser("read").form(action) is None
    answer = browser.post(action, fields)
    assert answer.status == 303
    assert answer.headers["location"].startswith(f"{adapter.prefix}/locks")
    assert locks(huey) == set()


def test_a_form_that_another_user_or_site_sends_changes_nothing(served):
    """A reader, a stranger, another site, a browser that does not say, and another header."""
    adapter, huey = served
    lock = hold_for_dead_process(huey)
    browser = adapter.browser("act")
    action, fields = find_release_form(browser, adapter, lock)
    reader = adapter.browser("read")
    reader.get("/locks")
    for each, headers in (
        (reader, SAME_ORIGIN),
        (adapter.browser(None), SAME_ORIGIN),
        (browser, {"Sec-Fetch-Site": "cross-site"}),
        (browser, {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1"}),
        (browser, {"Origin": "https://evil.example"}),
        (browser, {"X-Role": "act"}),
    ):
        assert each.post(action, fields, **headers).status == 403
    assert browser.open(action, "PUT", **SAME_ORIGIN).status in (403, 405)
    assert locks(huey) == {lock}


def test_a_body_that_is_too_long_gets_a_page(served):
    """The page says how long a body may be, and a stranger learns nothing."""
    adapter, huey = served
    lock = hold_for_dead_process(huey)
    browser = adapter.browser("act")
    action, fields = find_release_form(browser, adapter, lock)
    long = {**fields, "more": "x" * 2_000_000}
    answer = browser.post(action, long)
    assert (answer.status, "65,536 bytes" in answer.text) == (413, True)
    check_is_safe(answer)
    assert adapter.browser(None).post(action, long).status == 403
    assert locks(huey) == {lock}


def test_paths_and_queries_of_any_bytes(served):
    """Nothing fails, and no answer leads to another site."""
    adapter, _ = served
    browser = adapter.browser("read")
    for path in (
        "/%ff%fe",
        "/%00",
        "/locks%0a",
        "/%e2%80%ae",
        "/..%2f..%2fetc",
        "/%252e",
        "//evil",
    ):
        answer = browser.get(path)
        assert (path, answer.status) == (path, 404)
        if "<main" in answer.text:  # Starlette finds no application for a path of two lines
            check_is_safe(answer)
    for query in ("name=%ff%fe", "name=%00", "=&&=;", "%ff=%ff", "name=a&name=b"):
        answer = browser.get(f"/lock?{query}")
        assert (query, answer.status) == (query, 404)
    many = "&".join(f"a{n}=1" for n in range(200))
    assert browser.get(f"/lock?{many}").status == 400
    assert browser.get("/locks/").status == 200


def test_the_place_of_the_mount_without_a_slash(served):
    """It shows the page, or leads to it."""
    adapter, _ = served
    answer = adapter.browser("read").get("")
    if answer.status != 200:
        assert answer.status in (301, 307, 308)
        # Starlette does not know what a proxy has removed from the path.
        place = adapter.prefix.removeprefix(adapter.removed)
        assert answer.headers["location"].endswith(f"{place}/")
    assert adapter.browser("read").get("/").status == 200


@pytest.mark.parametrize("name", slow_except(QUICK, (*IN_PROCESS, *SERVERS)))
def test_queues_of_any_name(name):
    """Each has a link that leads to its pages, whatever the server does with a path."""
    names = ["a/b", "a", "\u00fc b", "..", "static", "healthz", "50%2F", "<b>", "a//b", "x.json"]
    with opened(name, [MemoryHuey(each) for each in names]) as adapter:
        browser = adapter.browser("read")
        links = [each for each in links_of(browser.get("/")) if "/static/" not in each]
        shown = {re.search("<strong>(.*?)</strong>", browser.open(link).text)[1] for link in links}
        assert {unescape(each) for each in shown} == set(names)
        for link in links:
            assert browser.open(f"{link}locks").status == 200
            assert browser.open(f"{link}locks.json").status == 200


def test_hueys_of_one_name_in_a_dict():
    """The names of the dict are those of the page."""
    hueys = {"one": MemoryHuey("shop"), "two": MemoryHuey("shop")}
    with opened("wsgi", hueys) as adapter:
        found = links_of(adapter.browser("read").get("/"))
        assert {f"{adapter.prefix}/one/", f"{adapter.prefix}/two/"} <= found


@pytest.mark.slow
@pytest.mark.parametrize("name", HTTP)
def test_a_server_survives_a_client_that_disconnects(open_adapter, name):
    """A form of which only a part has come changes nothing, and the next request is answered."""
    adapter, huey = open_adapter(name)
    lock = hold_for_dead_process(huey)
    browser = adapter.browser("act")
    action, fields = find_release_form(browser, adapter, lock)
    for length in (10_000, 10_000_000):
        with socket.create_connection(("127.0.0.1", adapter.port)) as connection:
            connection.sendall(
                f"POST {action} HTTP/1.1\r\nHost: a\r\nX-Role: act\r\nSec-Fetch-Site: same-origin"
                f"\r\nContent-Type: {FORM}\r\nContent-Length: {length}\r\n\r\n"
                f"name=x&acquisition={fields['acquisition']}&".encode()
            )
        assert browser.get("/healthz").body == b"ok\n"
    assert locks(huey) == {lock}


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVERS)
def test_a_body_without_a_length(open_adapter, name):
    """It is read where the server does so, else refused; in both cases with a page."""
    adapter, huey = open_adapter(name)
    lock = hold_for_dead_process(huey)
    browser = adapter.browser("act")
    action, fields = find_release_form(browser, adapter, lock)

    def post(*parts):
        return browser.open(action, "POST", iter(parts), Content_Type=FORM, **SAME_ORIGIN)

    if name == "wsgiref":
        headers = {"Transfer-Encoding": "chunked", **SAME_ORIGIN}
        assert browser.open(action, "POST", **headers).status == 411
        return
    assert post(*[b"x" * 10_000] * 20).status == 413
    assert locks(huey) == {lock}
    form = urlencode(fields).encode()
    assert post(form[:20], form[20:]).status == 303
    assert locks(huey) == set()


def test_a_wsgi_server_that_decodes_a_body_without_a_length():
    """Werkzeug and gunicorn do so; without this promise of a server the body is not read."""
    page = wsgi(MemoryHuey("shop"), access=lambda request: "act")
    headers = [*SAME_ORIGIN.items(), ("Transfer-Encoding", "chunked")]

    def post(body, **more):
        return call_wsgi(page, "POST", RELEASE, headers, wsgi_input=BytesIO(body), **more)

    assert post(b"name=x").status == 411
    assert post(b"name=x", wsgi_input_terminated=True).status == 409
    assert post(b"x" * (MAX_BODY + 1), wsgi_input_terminated=True).status == 413
    assert post(b"name", CONTENT_LENGTH="5").status == 400
    assert post(b"name", CONTENT_LENGTH="1_0").status == 400
    assert post(b"name=x&" * 101, CONTENT_LENGTH=str(7 * 101)).status == 400


def test_an_asgi_server_says_that_the_client_disconnected():
    """A part of a form is no form, and no answer is sent."""
    sent, asked = [], []
    page = asgi(MemoryHuey("shop"), access=asked.append)
    messages = [
        {"type": "http.request", "body": b"name=x", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": RELEASE, "headers": []}
    asyncio.run(page(scope, receive, send))
    assert (sent, asked, messages) == ([], [], [])


def test_a_header_that_is_sent_twice_counts_for_nothing():
    """A browser sends one; the second may be of an attacker."""
    page = asgi(MemoryHuey("shop"), access=lambda request: "act")
    statuses = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        statuses.append(message.get("status"))

    once = (b"sec-fetch-site", b"same-origin")
    for headers in ([once], [once, (b"Sec-Fetch-Site", b"cross-site")], [once, once]):
        scope = {"type": "http", "method": "POST", "path": RELEASE, "headers": headers}
        asyncio.run(page(scope, receive, send))
    assert statuses[::2] == [409, 403, 403]


@pytest.mark.slow
@pytest.mark.parametrize("name", DJANGO)
def test_visitors_of_django_are_sent_to_the_login(open_adapter, name):
    """From pages only: a script, a file and a form get an answer that says no."""
    adapter, _ = open_adapter(name)
    visitor = Browser(adapter, {})
    for path in PATHS:
        answer = visitor.get(path)
        if path in FILES or path.endswith(".json"):
            assert answer.status == 403
        else:
            login = adapter.prefix.removesuffix(UNICODE_PREFIX)
            login = "" if login.startswith("/admin") else login
            assert answer.status == 302
            target = quote(f"{adapter.prefix}{path}")
            assert answer.headers["location"] == f"{login}/admin/login/?next={target}"
        assert visitor.get(path, Sec_Fetch_Mode="cors").status == 403
        assert visitor.get(path, "POST", **SAME_ORIGIN).status == 403


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("user", "expected"), [(None, "of the server"), (lambda request: "ann", "ann")]
)
def test_the_user_of_an_act_is_named_by_the_application(kind, user, expected):
    """Without `user=`, the server or the authentication of Starlette names it."""
    huey, users = MemoryHuey("shop"), []
    lock = hold_for_dead_process(huey)
    shown = digest(huey.storage.peek_data(f"shop.lock.{lock}"))
    body = urlencode({"name": lock, "acquisition": shown}).encode()

    def on_act(sender, user, **_):
        users.append(user)

    with install_handlers(huey, sinks="memory"), page_action.connected_to(on_act):
        if kind == "wsgi":
            page = wsgi(huey, access=lambda request: "act", user=user)
            headers, server = [*SAME_ORIGIN.items()], {"REMOTE_USER": "of the server"}
            assert call_wsgi(page, "POST", RELEASE, headers, body, **server).status == 303
        else:
            page = asgi(huey, access=lambda request: "act", user=user)
            asyncio.run(post_with_user(page, body, SimpleUser("of the server")))
    assert users == [expected]


async def post_with_user(page, body, user):
    """Send a form as Starlette does, whose middleware has found the user."""
    headers = [(b"sec-fetch-site", b"same-origin")]
    scope = {"type": "http", "method": "POST", "path": RELEASE, "headers": headers, "user": user}

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        assert message.get("status", 303) == 303

    await page(scope, receive, send)
