"""A stand-alone server for the web interface, on the HTTP server of the standard library."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from ...web import FormatArguments, wsgi

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_CONNECTIONS = 64
"""Connections that are served at the same time; each has a thread."""

_PLAIN = [
    ("Content-Type", "text/plain; charset=utf-8"),
    ("Content-Security-Policy", "default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
]
_CHALLENGE = [("WWW-Authenticate", 'Basic realm="huey-signals", charset="UTF-8"'), *_PLAIN]


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class PageServer:
    """The web interface of one Huey on a port.

    On a loopback address it answers only to the names of this machine and to `allowed_hosts`, as a
    protection against DNS rebinding: another site could give its own name this address.

    The log of actions has the user name of HTTP's basic authentication. This server checks only the
    password, so the name is what the browser sent; a proxy may have checked both.

    Args:
        huey: The Huey.
        host: The address.
        port: The port; 0 for any that is free.
        password: The password of HTTP's basic authentication, with any user name; empty for none.
        allow_acts: Whether changes are allowed.
        allowed_hosts: Further names that requests to a loopback address may be for.
        format_arguments: Formats the arguments of tasks; see `wsgi`.

    Raises:
        OSError: The address cannot be listened on.
    """

    def __init__(
        self,
        huey: Any,
        host: str,
        port: int,
        password: str,
        allow_acts: bool,
        allowed_hosts: Iterable[str] = (),
        format_arguments: FormatArguments | None = None,
    ) -> None:
        self._password = os.fsencode(password)
        self._is_local = is_loopback(host)
        self._names = _LOCAL_NAMES | {name.lower() for name in (host, *allowed_hosts)}
        page = wsgi(
            huey,
            access=lambda request: "act" if allow_acts else "read",
            format_arguments=format_arguments,
        )

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            user, password = _credentials(environ.get("HTTP_AUTHORIZATION", ""))
            if self._password and not hmac.compare_digest(password, self._password):
                start_response("401 Unauthorized", [*_CHALLENGE])
                return [
                    b"The password is missing or wrong. It is the environment variable "
                    b"HUEY_SIGNALS_WEB_PASSWORD of the server; any user name is accepted.\n"
                ]
            host = _host_name(environ.get("HTTP_HOST", ""))
            if self._is_local and host not in self._names:
                start_response("403 Forbidden", [*_PLAIN])
                refusal = (
                    f"This server does not answer for the host {host!r}. If that is the name of a "
                    "proxy, start the server with --allowed-host and that name.\n"
                )
                return [refusal.encode("ascii", "backslashreplace")]
            return page({**environ, "REMOTE_USER": user}, start_response)

        server_class = _ServerV6 if ":" in host else _Server
        self._server = make_server(host, port, application, server_class, _Handler)
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


def _host_name(header: str) -> str:
    """Return the name in a Host header, without its port."""
    return header.rsplit(":", 1)[0].strip("[]").lower()


def _credentials(header: str) -> tuple[str, bytes]:
    """Return the user and the password of HTTP's basic authentication; empty if it has none."""
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded) if scheme.lower() == "basic" else b""
    except ValueError:
        decoded = b""
    user, _, password = decoded.partition(b":")
    return user.decode("utf-8", "replace"), password


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128  # with the default of 5, busy clients wait a second for a connection
    slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, unless there are too many; then close it."""
        if self.slots.acquire(timeout=1.0):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection on its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds without a byte, so that idle connections do not keep their threads

    def log_message(self, *args: Any) -> None:
        """Log nothing: a page that refreshes itself would fill the terminal."""
