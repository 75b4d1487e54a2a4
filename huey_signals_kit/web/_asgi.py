"""The page as an ASGI application, for Starlette, FastAPI, uvicorn and others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ._request import MAX_BODY, Request, Response, parse_form
from ._site import Access, Hueys, Site

_Scope = dict[str, Any]
_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def asgi(hueys: Hueys, *, access: Access) -> AsgiApp:
    """Return the page as an ASGI application.

    The storage is read on threads, never on the event loop.

    Args:
        hueys: One Huey or several, each with a kit or without.
        access: Called with each `Request`, on a thread; returns None for no access, ``"read"``,
            ``"act"``, or a set of the acts that are allowed.

    Raises:
        TypeError: `hueys` has something that is no Huey, or `access` is no function.
        ValueError: Two of the Hueys have the same name.
        ImportError: Jinja2 is not installed.
    """
    site = Site(hueys, access=access)

    async def application(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _body(receive)
        request = None if body is None else _request(scope, body)
        if request is None:
            response = Response(413)
        else:
            response = await asyncio.to_thread(site.respond, request)
        headers = [("content-type", response.content_type), *response.headers]
        headers.append(("content-length", str(len(response.body))))
        encoded = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": encoded})
        content = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": content})

    return application


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: _Receive) -> bytes | None:
    """Return the body of a request; None if it is too long."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if message["type"] != "http.request" or not message.get("more_body"):
            return body


def _request(scope: _Scope, body: bytes) -> Request | None:
    prefix = str(scope.get("root_path") or "").rstrip("/")
    path = str(scope["path"])
    # Servers disagree whether the path includes the place where the application is mounted.
    if prefix and (path == prefix or path.startswith(f"{prefix}/")):
        path = path[len(prefix) :]
    try:
        form, query = parse_form(body), parse_form(scope.get("query_string", b""))
    except ValueError:
        return None
    return Request(
        str(scope["method"]),
        path or "/",
        prefix,
        query,
        {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        },
        form,
        _user(scope),
        native=scope,
    )


def _user(scope: _Scope) -> str:
    user = scope.get("user")
    return str(getattr(user, "display_name", "") or "") if user is not None else ""
