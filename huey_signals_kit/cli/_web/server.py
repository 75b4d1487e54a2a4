"""A server for the web page alone, on the HTTP server of the standard library."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from ...web import Request, wsgi

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class PageServer:
    """The page of one Huey on a port.

    A page on a loopback address answers only to the names of this machine: another site could make
    a browser believe that its own name has that address.

    Args:
        huey: The Huey.
        host: The address.
        port: The port; 0 for any that is free.
        password: The password of HTTP's basic authentication, with any user name; empty for none.
        allow_acts: Whether the page may change something.

    Raises:
        OSError: The address cannot be listened on.
    """

    def __init__(self, huey: Any, host: str, port: int, password: str, allow_acts: bool) -> None:
        self._granted = "act" if allow_acts else "read"
        self._password = password
        self._is_local = is_loopback(host)
        page = wsgi(huey, access=self._access)

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            if self._password and not self._is_authorized(environ.get("HTTP_AUTHORIZATION", "")):
                challenge = [("WWW-Authenticate", 'Basic realm="huey-signals", charset="UTF-8"')]
                start_response("401 Unauthorized", challenge)
                return [b"The password is missing or wrong.\n"]
            return page(environ, start_response)

        self._server = make_server(host, port, application, _Server, _Handler)
        address = f"[{host}]" if ":" in host else host
        self.url = f"http://{address}:{self._server.server_port}/"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve requests on threads until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _access(self, request: Request) -> str | None:
        name = request.headers.get("host", "").rsplit(":", 1)[0].strip("[]").lower()
        return self._granted if not self._is_local or name in _LOCAL_NAMES else None

    def _is_authorized(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            _, _, password = base64.b64decode(encoded).partition(b":")
        except ValueError:
            return False
        return hmac.compare_digest(password, self._password.encode())


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # with the default of 5, busy clients wait a second for a connection


class _Handler(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing: a page that refreshes itself would fill the terminal."""
