"""The core of the page: what each request gets, and what it cannot do."""

from __future__ import annotations

import json
import re
from html import unescape
from importlib.resources import files

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey

from huey_signals_kit import install_handlers
from huey_signals_kit.testing import held_lock
from huey_signals_kit.web import Request, Site
from huey_signals_kit.web._pages import PAGES
from huey_signals_kit.web._site import FILES
from huey_signals_kit.web._switches import digest
from tests.support import hold, locks, wait_until
from tests.web.acting import HOSTILE, SAME, get, post

PATHS = ["/", *FILES, *(f"/{name}" for name in PAGES), *(f"/{name}.json" for name in PAGES)]
OF_OBJECTS = [f"/{name}" for name, page in PAGES.items() if page.is_of_object]


@pytest.fixture
def memory_huey():
    """A Huey where the storage makes no difference."""
    return MemoryHuey("shop")


@pytest.fixture
def site(any_huey):
    """The page of one queue, with all rights."""
    return Site(any_huey, access=lambda request: "act")


@pytest.mark.parametrize("path", PATHS)
def test_without_access_every_path_is_refused(memory_huey, path):
    """Nothing is shown, not even whether the server works."""
    site = Site(memory_huey, access=lambda request: None)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        response = site.respond(Request(method, path, headers=SAME))
        assert response.status == 403
        assert memory_huey.name.encode() not in response.body


@pytest.mark.parametrize("path", PATHS)
def test_every_page_has_the_headers_that_keep_it_safe(site, path):
    """No inline script or style can run, and no other site can frame the page."""
    headers = dict(get(site, path).headers)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_shown(site, path):
    """An empty queue has every page; the page of one lock or task says that there is none."""
    is_of_object = path.removesuffix(".json") in OF_OBJECTS
    assert get(site, path).status == (404 if is_of_object else 200)


@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_a_script_or_a_style_of_its_own(site, any_huey, name):
    """The Content-Security-Policy would block them."""
    hold(any_huey, "import")
    body = get(site, f"/{name}?name=import").body.decode()
    assert "<style" not in body
    assert not re.search(r"\sstyle=|\son\w+=|<script(?! src=)", body)


def test_a_lock_is_shown_with_its_holder(any_huey, site):
    """The page names its task, process and state, and the evidence for that state."""

    @any_huey.task()
    def import_orders():
        return seen(), seen()

    def seen():
        with any_huey.lock_task("reports/nightly"):
            return json.loads(get(site, "/lock.json?name=reports/nightly").body)

    with install_handlers(any_huey):
        result = import_orders()
        task = any_huey.dequeue()
        any_huey.execute(task)
        shown = result.get()[1]
    assert shown["state"] == "alive"
    assert shown["task_id"] == task.id
    assert shown["task_name"].endswith(".import_orders")
    assert shown["evidence"] == "its process is running"


def test_a_lock_that_is_not_held_is_not_found(site):
    """The page says so in a sentence."""
    response = get(site, "/lock?name=nothing")
    assert response.status == 404
    assert "is not held." in unescape(response.body.decode())


def test_hostile_names_are_shown_escaped(any_huey, site):
    """Nothing of a name is markup, a template, an escape sequence or a mark of direction."""
    hold(any_huey, HOSTILE)
    for path in ("/", "/locks"):
        body = wait_until(lambda path=path: has(get(site, path), "alert(1)"), 10, "the lock")
        assert "<script>alert" not in body
        assert "\x1b" not in body
        assert "\u202e" not in body
        assert "{{7*7}}" in body
        assert "\\x1b[31m\\u202e" in body


def has(response, text):
    body = response.body.decode()
    return body if text in body else ""


def test_a_live_lock_is_not_released(any_huey, site):
    """No form releases it, because the holder is alive."""
    with held_lock(any_huey, "import") as lock:
        response = post(site, "/act/release", {"name": "import", "acquisition": digest(lock._raw)})
        assert response.status == 409
        assert lock.is_held


def test_a_form_of_an_earlier_acquisition_releases_nothing(any_huey, site):
    """The form must name the present acquisition, also if its holder is unknown."""
    hold(any_huey, "import")
    assert post(site, "/act/release", {"name": "import", "acquisition": "00"}).status == 409
    assert post(site, "/act/release", {"name": "import"}).status == 409
    assert post(site, "/act/release", {"name": "other", "acquisition": digest(b"1")}).status == 409
    assert locks(any_huey) == {"import"}


def test_a_reader_cannot_release(any_huey):
    """A user who may only read, or do other actions, cannot release a lock."""
    hold(any_huey, "import")
    for granted in ("read", {"sweep"}):
        site = Site(any_huey, access=lambda request, granted=granted: granted)
        assert (
            post(site, "/act/release", {"name": "import", "acquisition": digest(b"1")}).status
            == 403
        )
    assert locks(any_huey) == {"import"}


@pytest.mark.parametrize(
    ("headers", "is_accepted"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://ops.example"}, False),
        ({"origin": "https://ops.example"}, True),
        ({"origin": "https://OPS.example"}, True),
        ({"origin": "https://ops.example:8443"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({}, False),
    ],
)
def test_a_form_of_another_site_is_refused(memory_huey, headers, is_accepted):
    """The browser says where a form comes from; a request that does not say is refused too."""
    site = Site(memory_huey, access=lambda request: "act")
    response = post(site, "/act/release", {"name": "x"}, {"host": "ops.example", **headers})
    assert response.status == (409 if is_accepted else 403)


def test_other_methods_and_pages_are_refused(site):
    """Each is refused with its own status."""
    assert site.respond(Request("PUT", "/locks", headers=SAME)).status == 405
    assert post(site, "/store", {}).status == 405
    assert get(site, "/nothing").status == 404
    assert get(site, "/static/../_site.py").status == 404
    assert get(site, "/static/nothing").status == 404


def test_several_queues_have_pages_of_their_own():
    """Each queue has pages below its name, and a page lists the queues."""
    site = Site([MemoryHuey("a/b"), MemoryHuey("mails")], access=lambda request: "read")
    body = get(site, "/", prefix="/ops").body.decode()
    assert 'href="/ops/a~2Fb/"' in body
    assert 'href="/ops/mails/"' in body
    assert b'href="/ops/mails/locks"' in get(site, "/mails/", prefix="/ops").body
    assert get(site, "/a~2Fb/locks").status == 200
    assert get(site, "/nothing/locks").status == 404


def test_wrong_arguments_are_refused(memory_huey):
    """The error names the argument when the site is created."""
    with pytest.raises(TypeError, match="access= must be a function"):
        Site(memory_huey, access="read")
    with pytest.raises(TypeError, match="user= must be a function"):
        Site(memory_huey, access=lambda request: "read", user="ann")
    with pytest.raises(TypeError, match="takes a Huey"):
        Site([object()], access=lambda request: None)
    with pytest.raises(ValueError, match="two Hueys with the name"):
        Site([MemoryHuey("a"), MemoryHuey("a")], access=lambda request: None)
    with pytest.raises(ValueError, match="no Huey"):
        Site([], access=lambda request: None)


def test_an_access_function_that_fails_closes_the_page(memory_huey, caplog):
    """A bug in it shows nothing, and the log says why."""
    site = Site(memory_huey, access=lambda request: 1 / 0)
    response = get(site, "/locks")
    assert response.status == 500
    assert memory_huey.name.encode() not in response.body
    assert "ZeroDivisionError" in caplog.text
    assert get(Site(memory_huey, access=lambda request: "write"), "/").status == 500
    assert get(Site(memory_huey, access=lambda request: {"destroy"}), "/").status == 500


def test_every_form_has_the_hidden_fields_of_the_framework():
    """A framework such as Django refuses a form without its token."""
    templates = files("huey_signals_kit.web").joinpath("_templates")
    forms = {path.name: path.read_text().count('method="post"') for path in templates.iterdir()}
    fields = {
        path.name: path.read_text().count("{{ hidden_fields() }}") for path in templates.iterdir()
    }
    assert fields == forms
    assert sum(forms.values()) > 0


def test_the_files_of_the_page_are_small(memory_huey):
    """They load within a moment, also on a phone."""
    site = Site(memory_huey, access=lambda request: "read")
    assert len(get(site, "/static/page.css").body) <= 8192
    assert len(get(site, "/static/page.js").body) <= 3072
