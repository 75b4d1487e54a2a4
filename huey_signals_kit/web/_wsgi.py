"""The web interface as a WSGI application, for Flask, Werkzeug, gunicorn and others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from ._guard import Access, User
from ._request import MAX_BODY, Request, read_request
from ._site import Hueys, Site
from .arguments import FormatArguments

_StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], _StartResponse], Iterable[bytes]]

_MAX_DISCARDED = 16 * 1024 * 1024
"""Maximum bytes that are read and discarded of a body that is too long. If the server closed the
connection first, the browser would show an error in place of the response."""


def wsgi(
    hueys: Hueys,
    *,
    access: Access,
    user: User | None = None,
    format_arguments: FormatArguments | None = None,
) -> WsgiApp:
    """Return the web interface as a WSGI application.

    Args:
        hueys: One Huey, several, or a dict of them by name; each with a kit or without.
        access: Called with each `Request`; returns None for no access, ``"read"``, ``"act"``, or a
            set of the actions that are allowed.
        user: Called with each `Request` that has access; returns the name of its user for the log
            of actions. Default: ``REMOTE_USER``.
        format_arguments: Called with the name of a task (``module.name``), the tuple of its
            arguments and the dict of its keyword arguments; returns a text to show on the pages
            of the task, or None. Stored values are not unpickled: an object of a class that the
            kit does not know is a placeholder. Default: arguments are hidden.

    Raises:
        TypeError: `hueys` has something that is not a Huey, or another argument is not a function.
        ValueError: There is no Huey, or two have the same name.
        ImportError: Jinja2 is not installed.
    """
    site = Site(hueys, access=access, user=user, format_arguments=format_arguments)

    def application(environ: dict[str, Any], start_response: _StartResponse) -> list[bytes]:
        response = site.respond(_request(environ))
        headers = [("Content-Type", response.content_type), *response.headers]
        headers.append(("Content-Length", str(len(response.body))))
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    return application


def _request(environ: dict[str, Any]) -> Request:
    return read_request(
        environ["REQUEST_METHOD"],
        _bytes(environ.get("PATH_INFO", "")).decode("utf-8", "replace"),
        _bytes(environ.get("SCRIPT_NAME", "")),
        _bytes(environ.get("QUERY_STRING", "")),
        _headers(environ),
        _body(environ),
        user=str(environ.get("REMOTE_USER") or ""),
        native=environ,
    )


def _headers(environ: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key[5:].replace("_", "-"), str(value)
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            yield key.replace("_", "-"), str(value)


def _body(environ: dict[str, Any]) -> bytes | int:
    """Return the body of a request, or the status of the response if it cannot be read."""
    stream, length = environ["wsgi.input"], str(environ.get("CONTENT_LENGTH") or "")
    if length:
        if not (length.isascii() and length.isdecimal()):
            return 400
        if int(length) > MAX_BODY:
            _discard(stream, min(int(length), _MAX_DISCARDED))
            return 413
        body = _read(stream, int(length))
        # The client disconnected if the body is shorter.
        return body if len(body) == int(length) else 400
    if environ.get("wsgi.input_terminated"):
        body = _read(stream, MAX_BODY + 1)
        if len(body) > MAX_BODY:
            _discard(stream, _MAX_DISCARDED)
            return 413
        return body
    return 411 if environ.get("HTTP_TRANSFER_ENCODING") else b""


def _read(stream: Any, length: int) -> bytes:
    parts = []
    while length > 0 and (part := stream.read(length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _discard(stream: Any, length: int) -> None:
    while length > 0 and (part := stream.read(min(length, MAX_BODY))):
        length -= len(part)


def _bytes(value: str) -> bytes:
    return value.encode("latin-1", "replace")
