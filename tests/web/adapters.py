"""The page behind each server and framework, and a browser that sends requests to it."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from http.cookies import SimpleCookie
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from huey_signals_kit.web import asgi, wsgi
from tests.consumer.harness import ROOT

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
FORM = "application/x-www-form-urlencoded"
UNICODE_PREFIX = "/ops/h%C3%BCey"
IN_PROCESS = ("wsgi", "flask", "asgi", "starlette", "fastapi")
SERVERS = ("wsgiref", "werkzeug", "uvicorn", "uvicorn-starlette")
DJANGO = ("django-client", "django-admin", "django-wsgi", "django-asgi")
Send = Callable[[str, str, "list[tuple[str, str]]", "bytes | Iterator[bytes]"], "Answer"]


@dataclass
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, headers: list[tuple[str, str]], body: bytes) -> Answer:
        """Return the response with these headers, whose names may be repeated."""
        cookies = SimpleCookie()
        for name, value in headers:
            if name.lower() == "set-cookie":
                cookies.load(value)
        names = {name.lower(): value for name, value in headers}
        return cls(status, names, body, {key: each.value for key, each in cookies.items()})

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class Adapter:
    """The page under one server or framework.

    Args:
        send: Sends a request with a method, a path with its query, headers and a body.
        prefix: The path where browsers see the page, as in links.
        removed: The part of it that a proxy in front removes.
        headers: The headers of a user who may do nothing, read or act.
        port: The port of a real server.
    """

    send: Send
    prefix: str = ""
    removed: str = ""
    headers: Callable[[str | None], dict[str, str]] = lambda role: {"X-Role": role} if role else {}
    port: int | None = None

    def browser(self, role: str | None) -> Browser:
        """Return a browser of a user with the role ``read``, ``act`` or None."""
        return Browser(self, self.headers(role))


class Browser:
    """Sends requests as a browser does, with its cookies.

    Args:
        adapter: The server.
        headers: Sent with every request.
    """

    def __init__(self, adapter: Adapter, headers: dict[str, str]) -> None:
        self._adapter = adapter
        self._headers = headers
        self._cookies: dict[str, str] = {}

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request without a body to a path below the prefix."""
        return self.open(self._adapter.prefix + path, method, **headers)

    def open(self, link: str, method: str = "GET", body: Any = b"", **headers: str) -> Answer:
        """Send a request to a link of a page; ``_`` in the names of headers is a hyphen."""
        named = {
            **self._headers,
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        cookies = [named.pop("Cookie", ""), *(f"{k}={v}" for k, v in self._cookies.items())]
        if any(cookies):
            named["Cookie"] = "; ".join(filter(None, cookies))
        path = link.removeprefix(self._adapter.removed)
        for _ in range(200):
            answer = self._adapter.send(method, path, list(named.items()), body)
            if method != "GET" or answer.status != 503 or "refresh" not in answer.headers:
                break
            time.sleep(0.1)  # the page waits for the storage; a browser would load it again
        self._cookies |= answer.cookies
        return answer

    def post(self, link: str, fields: dict[str, str], **headers: str) -> Answer:
        """Send a form, as from a page of the same site."""
        sent = headers or SAME_ORIGIN
        return self.open(link, "POST", urlencode(fields).encode(), Content_Type=FORM, **sent)

    def form(self, link: str) -> tuple[str, dict[str, str]] | None:
        """Return where the form of a page is sent, and its hidden fields; None without a form."""
        found = re.search(
            r'<form method="post" action="(.*?)"(.*?)</form>', self.open(link).text, re.S
        )
        if found is None:
            return None
        fields = re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)"', found[2])
        return unescape(found[1]), {unescape(name): unescape(value) for name, value in fields}


def _access(request: Any) -> str | None:
    role: str | None = request.headers.get("x-role")
    return role


@contextmanager
def opened(name: str, hueys: Any) -> Iterator[Adapter]:
    """Serve the page of some Hueys, under an adapter other than those of Django."""
    page = wsgi(hueys, access=_access) if name in _WSGI else asgi(hueys, access=_access)
    with _OPEN[name](page) as adapter:
        yield adapter


@contextmanager
def _wsgi(page: Any) -> Iterator[Adapter]:
    yield Adapter(
        lambda *request: call_wsgi(page, *request, mounted=UNICODE_PREFIX), UNICODE_PREFIX
    )


@contextmanager
def _flask(page: Any) -> Iterator[Adapter]:
    app = _in_flask(page)
    yield Adapter(lambda *request: call_wsgi(app, *request), "/tools/huey")


def _in_flask(page: Any) -> Any:
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = Flask("shop")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/tools/huey": page})
    return app


def call_wsgi(
    app: Any,
    method: str,
    link: str,
    headers: list[tuple[str, str]],
    body: Any = b"",
    mounted: str = "",
    **more: Any,
) -> Answer:
    """Call a WSGI application, and check that it does what WSGI requires.

    Args:
        app: The application.
        method: The method.
        link: The path, from the root of the site, and the query.
        headers: The headers.
        body: The body.
        mounted: Where the server has mounted the application.
        **more: Further values of the environ, with ``wsgi_`` for ``wsgi.``.
    """
    path, _, query = link.removeprefix(mounted).partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": unquote_to_bytes(mounted).decode("latin-1"),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "wsgi.input": BytesIO(body),
        **({"CONTENT_LENGTH": str(len(body))} if body else {}),
        **{key.replace("wsgi_", "wsgi."): value for key, value in more.items()},
    }
    for key, value in headers:
        key = key.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    setup_testing_defaults(environ)
    started: list[Any] = []
    parts = validator(app)(environ, lambda status, sent, exc=None: started.append((status, sent)))
    try:
        content = b"".join(parts)
    finally:
        parts.close()
    [(status, sent)] = started
    return Answer.of(int(status.split()[0]), sent, content)


@contextmanager
def _asgi(page: Any) -> Iterator[Adapter]:
    yield Adapter(lambda *request: _call_asgi(page, *request))


@contextmanager
def _starlette(page: Any) -> Iterator[Adapter]:
    app = _in_starlette(page)
    yield Adapter(lambda *request: _call_asgi(app, *request), UNICODE_PREFIX)


def _in_starlette(page: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    return Starlette(routes=[Mount("/ops", routes=[Mount("/hüey", app=page)])])


@contextmanager
def _fastapi(page: Any) -> Iterator[Adapter]:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/huey", page)
    proxy = "/api"  # what a proxy in front removes
    yield Adapter(
        lambda *request: _call_asgi(app, *request, root=proxy), f"{proxy}/huey", removed=proxy
    )


def _call_asgi(app: Any, method: str, link: str, headers: Any, body: Any, root: str = "") -> Answer:
    import httpx

    async def call() -> Answer:
        transport = httpx.ASGITransport(app, root_path=root)
        async with httpx.AsyncClient(transport=transport) as client:
            url = f"http://testserver{link}"
            answer = await client.request(method, url, headers=headers, content=body)
        return Answer.of(answer.status_code, answer.headers.multi_items(), answer.content)

    return asyncio.run(call())


@contextmanager
def _wsgiref(page: Any) -> Iterator[Adapter]:
    server = make_server("127.0.0.1", 0, page, handler_class=_QuietHandler)
    with served(server):
        yield _over_http(server.server_port, "")


@contextmanager
def _werkzeug(page: Any) -> Iterator[Adapter]:
    from werkzeug import serving

    server = serving.make_server(
        "127.0.0.1", 0, _in_flask(page), threaded=True, request_handler=quiet_werkzeug_handler()
    )
    with served(server):
        yield _over_http(server.server_port, "/tools/huey")


@contextmanager
def served(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing."""


def quiet_werkzeug_handler() -> Any:
    from werkzeug.serving import WSGIRequestHandler as Handler

    return type("Quiet", (Handler,), {"log": lambda self, *args: None})


@contextmanager
def _uvicorn(page: Any) -> Iterator[Adapter]:
    with run_uvicorn(page) as port:
        yield _over_http(port, "")


@contextmanager
def _uvicorn_starlette(page: Any) -> Iterator[Adapter]:
    with run_uvicorn(_in_starlette(page)) as port:
        yield _over_http(port, UNICODE_PREFIX)


@contextmanager
def run_uvicorn(app: Any, **options: Any) -> Iterator[int]:
    """Run uvicorn on a thread; yield its port."""
    import uvicorn

    config = uvicorn.Config(app, port=0, ws="none", log_level="critical", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def _over_http(port: int, prefix: str, **fields: Any) -> Adapter:
    def send(method: str, link: str, headers: list[tuple[str, str]], body: Any) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.putrequest(method, link)
        for name, value in headers:
            connection.putheader(name, value)
        is_chunked = not isinstance(body, bytes)
        if is_chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body, encode_chunked=is_chunked)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return Answer.of(answer.status, answer.getheaders(), content)

    return Adapter(send, prefix, port=port, **fields)


class DjangoSite:
    """The page in a Django project, in a process of its own; see `tests.web.django_site`.

    Args:
        database: The file of the queue.
    """

    def __init__(self, database: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.web.django_site", str(database)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._facts = self._read()

    def adapter(self, name: str) -> Adapter:
        """Return the adapter of one way to reach the project."""
        if name in ("django-client", "django-admin"):
            prefix = "/admin/huey_signals/queue" if name == "django-admin" else UNICODE_PREFIX
            return Adapter(self._send, prefix, headers=self._headers)
        port = self._facts["ports"][name]
        return _over_http(port, f"/shop{UNICODE_PREFIX}", headers=self._headers)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def _headers(self, role: str | None) -> dict[str, str]:
        return {"Cookie": f"sessionid={self._facts['sessions'][role or 'staff']}"}

    def _send(self, method: str, link: str, headers: Any, body: bytes) -> Answer:
        assert self._process.stdin is not None
        request = [method, link, headers, base64.b64encode(body).decode()]
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        status, sent, content = self._read()
        return Answer.of(status, sent, base64.b64decode(content))

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process of Django has ended"
        return json.loads(line)


_WSGI = ("wsgi", "flask", "wsgiref", "werkzeug")
_OPEN: dict[str, Any] = {
    "wsgi": _wsgi,
    "flask": _flask,
    "asgi": _asgi,
    "starlette": _starlette,
    "fastapi": _fastapi,
    "wsgiref": _wsgiref,
    "werkzeug": _werkzeug,
    "uvicorn": _uvicorn,
    "uvicorn-starlette": _uvicorn_starlette,
}
