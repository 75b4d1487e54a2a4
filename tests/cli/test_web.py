"""The page on a server of its own, as ``huey-signals web`` starts it."""

from __future__ import annotations

import base64
import http.client
from urllib.parse import urlsplit

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("typer", exc_type=ImportError)

from huey import MemoryHuey

from huey_signals_kit.cli._web.command import PASSWORD
from huey_signals_kit.cli._web.server import PageServer, is_loopback

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def serve():
    """Return a function that asks a server with these settings."""

    def ask(method="GET", path="/", body=None, *, password="", allow_acts=False, **headers):
        server = PageServer(MemoryHuey("shop"), "127.0.0.1", 0, password, allow_acts)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        with server.serving():
            connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.url).port)
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
            connection.close()
        return response, content

    return ask


def test_the_page_is_served(serve):
    """With its headers, and without a body for HEAD."""
    response, content = serve()
    assert response.status == 200
    assert b"<title>Overview - shop</title>" in content
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    response, content = serve("HEAD")
    assert (response.status, content) == (200, b"")
    assert int(response.headers["Content-Length"]) > 1000


@pytest.mark.parametrize("name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_page_on_loopback_answers_to_no_other_name(serve, name):
    """Another site could give its own name the address 127.0.0.1."""
    assert serve(Host=name)[0].status == 403


@pytest.mark.parametrize("name", ["localhost:9807", "127.0.0.1", "[::1]:9807", "LOCALHOST"])
def test_a_page_on_loopback_answers_to_the_names_of_this_machine(serve, name):
    """With a port or without."""
    assert serve(Host=name)[0].status == 200


def test_without_allow_acts_nothing_can_be_changed(serve):
    """A form is refused, and accepted with the option."""
    form = {"Content-Type": "application/x-www-form-urlencoded", **SAME_ORIGIN}
    assert serve("POST", "/act/release", "name=x", **form)[0].status == 403
    assert serve("POST", "/act/release", "name=x", allow_acts=True, **form)[0].status == 409


def test_a_large_body_is_refused(serve):
    """Before it is read."""
    response, _ = serve("POST", "/lock", "a" * 70_000, allow_acts=True, **SAME_ORIGIN)
    assert response.status == 413


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Basic", 401),
        ("Basic ???", 401),
        ("Bearer c2VjcmV0", 401),
        ("Basic " + base64.b64encode(b"me:wrong").decode(), 401),
        ("Basic " + base64.b64encode(b"me").decode(), 401),
        ("Basic " + base64.b64encode("me:geheim-ü".encode()).decode(), 200),
    ],
)
def test_a_password_is_asked_for(serve, header, status):
    """Any user name may come with it."""
    headers = {} if header is None else {"Authorization": header}
    response, _ = serve(password="geheim-ü", **headers)
    assert response.status == status
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


def test_another_address_needs_a_password(sqlite_shop):
    """And says which variable takes it."""
    ran = sqlite_shop.run("web", sqlite_shop.name, "--host", "0.0.0.0")
    assert (ran.code, ran.out) == (2, "")
    assert PASSWORD in ran.err


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_which_addresses_only_this_machine_can_reach(host, is_local):
    """All others need a password."""
    assert is_loopback(host) is is_local
