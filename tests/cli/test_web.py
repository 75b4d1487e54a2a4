"""The page on a server of its own, as ``huey-signals web`` starts it."""

from __future__ import annotations

import base64
import http.client
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("typer", exc_type=ImportError)

from huey import MemoryHuey

from huey_signals_kit import install_handlers
from huey_signals_kit.cli._web.command import PASSWORD, _load_formatter
from huey_signals_kit.cli._web.server import PageServer, is_loopback
from huey_signals_kit.signals import page_action
from huey_signals_kit.web._switches import digest
from tests.locks import GONE, taken_by

HAS_IPV6 = Path("/proc/net/if_inet6").exists()
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def serve():
    """Return a function that asks a server with these settings."""

    def ask(
        method="GET",
        path="/",
        body=None,
        *,
        huey=None,
        host="127.0.0.1",
        password="",
        allow_acts=False,
        allowed_hosts=(),
        format_arguments=None,
        **headers,
    ):
        huey = MemoryHuey("shop") if huey is None else huey
        server = PageServer(huey, host, 0, password, allow_acts, allowed_hosts, format_arguments)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        with server.serving():
            connection = http.client.HTTPConnection(host, urlsplit(server.url).port)
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
    response, content = serve(Host=name)
    assert response.status == 403
    assert b"--allowed-host" in content


@pytest.mark.parametrize("name", ["localhost:9807", "127.0.0.1", "[::1]:9807", "LOCALHOST"])
def test_a_page_on_loopback_answers_to_the_names_of_this_machine(serve, name):
    """With a port or without."""
    assert serve(Host=name)[0].status == 200


def test_a_page_on_loopback_answers_to_the_name_of_a_proxy(serve):
    """If the option has it."""
    allowed = {"allowed_hosts": ["Ops.example"]}
    assert serve(Host="ops.example:8443", **allowed)[0].status == 200
    assert serve(Host="evil.example", **allowed)[0].status == 403


def test_a_page_on_loopback_answers_to_the_address_that_it_listens_on(serve):
    """A machine has many such addresses."""
    assert serve(host="127.0.0.2")[0].status == 200


def test_the_server_listens_on_ipv6(serve):
    """The address has brackets in the URL."""
    if not HAS_IPV6:
        pytest.skip("this machine has no IPv6")
    assert serve(host="::1", Host="[::1]:9807")[0].status == 200


def test_the_user_of_an_act_is_that_of_the_password(serve):
    """A proxy in front that has checked the password passes the name on, too."""
    huey, users = MemoryHuey("shop"), []

    def on_act(sender, user, **_):
        users.append(user)

    for name, password in (("ann", "secret"), ("bob", "")):
        taken_by(huey, "import", GONE)
        raw = huey.storage.peek_data("shop.lock.import")
        given = base64.b64encode(f"{name}:secret".encode()).decode()
        form = urlencode({"name": "import", "acquisition": digest(raw)})
        with install_handlers(huey, sinks="memory"), page_action.connected_to(on_act):
            answer, _ = serve(
                "POST",
                "/act/release",
                form,
                huey=huey,
                password=password,
                allow_acts=True,
                Authorization=f"Basic {given}",
                **SAME_ORIGIN,
            )
        assert answer.status == 303
    assert users == ["ann", "bob"]


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
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"


def test_another_address_needs_a_password(sqlite_shop):
    """And says which variable takes it."""
    ran = sqlite_shop.run("web", sqlite_shop.name, "--host", "0.0.0.0")
    assert (ran.code, ran.out) == (2, "")
    assert PASSWORD in ran.err


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("missing.format", "ModuleNotFoundError: No module named 'missing'"),
        ("json.missing", "AttributeError"),
        ("json.dumps", "must take three arguments"),
        ("json", "got <module 'json'"),
        ("..", "ValueError"),
    ],
)
def test_a_function_that_cannot_format_arguments_is_refused(sqlite_shop, path, problem):
    """Before the server listens, with the option and the reason."""
    ran = sqlite_shop.run("web", sqlite_shop.name, "--format-arguments", path)
    assert (ran.code, ran.out) == (2, "")
    assert f"--format-arguments {path}: " in ran.err
    assert problem in " ".join(ran.err.split())


def test_a_function_formats_the_arguments_of_tasks(serve):
    """As it is called with the name of the task and its arguments."""
    huey = MemoryHuey("shop")
    task = huey.task()(lambda order: None)("secret-order")
    path = f"/task?id={task.id}"
    _, content = serve(path=path, huey=huey)
    assert b"secret-order" not in content
    show = _load_formatter(f"{__name__}.show_arguments")
    _, content = serve(path=path, huey=huey, format_arguments=show)
    assert b"the order secret-order" in content


def show_arguments(name, args, kwargs):
    """Return what the page shows of the arguments of a task."""
    return f"the order {args[0]}"


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


def test_acts_are_logged_to_stderr():
    """Unless the module of the Huey has set up the log."""
    script = """
import logging
from huey_signals_kit.cli._web.command import _log_acts
logging.basicConfig(filename="/dev/null")
for act in "one", "two":
    _log_acts()
    logging.getLogger("huey_signals_kit").info(act)
    logging.getLogger().handlers.clear()
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "two" in ran.stderr
    assert "one" not in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_asked_to_end_has_not_failed(sqlite_shop, signum):
    """Its exit code is 0, as systemd and others expect."""
    process = sqlite_shop.start("web", sqlite_shop.name, "--port", "0")
    assert process.stderr.readline().startswith("Serving http://127.0.0.1:")
    process.send_signal(signum)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
