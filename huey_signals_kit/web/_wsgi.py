"""The page as a WSGI application, for Flask, Werkzeug, gunicorn and others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from ._request import MAX_BODY, Request, Response, parse_form
from ._site import Access, Hueys, Site

_StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], _StartResponse], Iterable[bytes]]


def wsgi(hueys: Hueys, *, access: Access) -> WsgiApp:
    """Return the page as a WSGI application.

    Args:
        hueys: One Huey or several, each with a kit or without.
        access: Called with each `Request`; returns None for no access, ``"read"``, ``"act"``, or a
            set of the acts that are allowed.

    Raises:
        TypeError: `hueys` has something that is no Huey, or `access` is no function.
        ValueError: Two of the Hueys have the same name.
        ImportError: Jinja2 is not installed.
    """
    site = Site(hueys, access=access)

    def application(environ: dict[str, Any], start_response: _StartResponse) -> list[bytes]:
        request = _request(environ)
        response = Response(413) if request is None else site.respond(request)
        headers = [("Content-Type", response.content_type), *response.headers]
        headers.append(("Content-Length", str(len(response.body))))
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    return application


def _request(environ: dict[str, Any]) -> Request | None:
    """Return the request; None if its body is too long."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > MAX_BODY:
        return None
    headers = {
        key[5:].replace("_", "-").lower(): str(value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    try:
        form = parse_form(environ["wsgi.input"].read(length)) if length > 0 else {}
        query = parse_form(environ.get("QUERY_STRING", "").encode("latin-1", "replace"))
    except ValueError:
        return None
    return Request(
        environ["REQUEST_METHOD"],
        _text(environ.get("PATH_INFO", "")) or "/",
        _text(environ.get("SCRIPT_NAME", "")).rstrip("/"),
        query,
        headers,
        form,
        str(environ.get("REMOTE_USER") or ""),
        native=environ,
    )


def _text(value: str) -> str:
    return value.encode("latin-1", "replace").decode("utf-8", "replace")
