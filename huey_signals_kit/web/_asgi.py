"""The web interface as an ASGI application, for Starlette, FastAPI, uvicorn and others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from ._guard import Access, User
from ._request import MAX_BODY, Request, Response, read_request
from ._site import Hueys, Site
from .arguments import FormatArguments

_Scope = dict[str, Any]
_Receive = Callable[[], Awaitable[dict[str, Any]]]
_Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp = Callable[[_Scope, _Receive, _Send], Awaitable[None]]

_THREADS = 8


def asgi(
    hueys: Hueys,
    *,
    access: Access,
    user: User | None = None,
    format_arguments: FormatArguments | None = None,
) -> AsgiApp:
    """Return the web interface as an ASGI application.

    The storage is read on threads of its own, never on the event loop, and on none of the threads
    that the rest of the application uses.

    Args:
        hueys: One Huey, several, or a dict of them by name; each with a kit or without.
        access: Called with each `Request`, on a thread; returns None for no access, ``"read"``,
            ``"act"``, or a set of the actions that are allowed.
        user: Called with each `Request` that has access; returns the name of its user for the log
            of actions. Default: ``display_name`` of the user of Starlette's authentication.
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
    threads = ThreadPoolExecutor(_THREADS, "huey-signals-page")  # starts none yet

    async def application(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http":
            await _answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(scope: _Scope, receive: _Receive, send: _Send) -> None:
        body = await _body(receive)
        if body is None:
            return
        request, context = _request(scope, body), copy_context()
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(threads, context.run, site.respond, request)
        with suppress(OSError):  # the browser went away
            await _send_response(send, response, has_body=scope["method"] != "HEAD")

    return application


async def _send_response(send: _Send, response: Response, has_body: bool) -> None:
    headers = [("content-type", response.content_type), *response.headers]
    headers.append(("content-length", str(len(response.body))))
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": response.body if has_body else b""})


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: _Receive) -> bytes | int | None:
    """Return the body of a request, 413 if it is too long, and None if the browser went away."""
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        part = message.get("body", b"")
        length += len(part)
        if length > MAX_BODY:
            return 413  # the server discards the rest
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _request(scope: _Scope, body: bytes | int) -> Request:
    prefix = str(scope.get("root_path") or "").rstrip("/")
    headers = ((name.decode("latin-1"), text.decode("latin-1")) for name, text in scope["headers"])
    return read_request(
        str(scope["method"]),
        _path_below(prefix, scope),
        prefix,
        scope.get("query_string", b""),
        headers,
        body,
        user=_user(scope),
        native=scope,
    )


def _path_below(prefix: str, scope: _Scope) -> str:
    """Return the path below the place where the application is mounted.

    Servers disagree whether the path includes the prefix. If a proxy has removed a part of the
    prefix, as with ``FastAPI(root_path=...)``, the path begins with the rest of it.
    """
    path = str(scope["path"])
    removed = str(scope.get("app_root_path") or "").rstrip("/")
    for start in (prefix, prefix.removeprefix(removed)):
        if start and (path == start or path.startswith(f"{start}/")):
            return path[len(start) :]
    return path


def _user(scope: _Scope) -> str:
    """Return the name of the user of Starlette's authentication; empty if there is none."""
    try:
        return str(scope["user"].display_name or "")
    except Exception:  # a class of the application, which may have no such name
        return ""
