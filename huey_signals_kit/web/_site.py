"""The core of the web interface: a request comes in, a response goes out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from .._checks import check_huey, short
from ..store.failures import describe_storage, is_storage_failure
from ..store.redact import redact
from ..upkeep.monitor.background_read import ReadTimeout
from . import _text
from ._guard import ACTS, Access, User, allowed_acts, is_same_origin
from ._page import NotFound, Refused
from ._queue import Queue
from ._request import MAX_BODY, Request, Response, json_response
from .arguments import FormatArguments, validate_formatter

Hueys = Any
"""One Huey, a list of several, or a dict of them by name."""

_log = logging.getLogger("huey_signals_kit")
_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Content-Security-Policy", _CSP),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_INVALID = {
    400: "The query or the form is incomplete, or has too many fields.",
    411: "The request has a chunked body, which this server does not decode. Send Content-Length.",
    413: f"The body is longer than {MAX_BODY:,} bytes.",
}


def _static(name: str, content_type: str) -> Response:
    return Response(200, (files(__package__) / "_static" / name).read_bytes(), content_type)


FILES: dict[str, Callable[[], Response]] = {
    "/healthz": lambda: Response(200, b"ok\n", "text/plain; charset=utf-8"),
    "/static/icon.svg": lambda: _static("icon.svg", "image/svg+xml"),
    "/static/page.css": lambda: _static("page.css", "text/css; charset=utf-8"),
    "/static/page.js": lambda: _static("page.js", "text/javascript; charset=utf-8"),
}
"""What has the same content in every request, by path; `_pages.PAGES` has the rest."""


@dataclass(frozen=True)
class Visit:
    """A request for a page of one queue, with the actions that its user may do."""

    request: Request
    queue: Queue
    base: str
    """The path of the pages of this queue, without a slash at its end."""
    acts: frozenset[str]

    def url(self, page: str, **query: str) -> str:
        """Return the path of a page of this queue.

        Args:
            page: The name of the page; empty for the overview.
            **query: Values of its query.
        """
        words = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return f"{self.base}/{page}{'?' if words else ''}{words}"


class Site:
    """The web interface of one or more queues. Adapters call `respond`.

    Args:
        hueys: One Huey, several, or a dict of them by name; each with a kit or without.
        access: Called with each request; see `wsgi`.
        user: Called with each request that has access; see `wsgi`.
        format_arguments: Called with the arguments of a task; see `wsgi`.
    """

    def __init__(
        self,
        hueys: Hueys,
        *,
        access: Access,
        user: User | None = None,
        format_arguments: FormatArguments | None = None,
    ) -> None:
        if not callable(access):
            raise TypeError(f"access= must be a function of a request; got {short(access)}")
        if not (user is None or callable(user)):
            raise TypeError(f"user= must be a function of a request; got {short(user)}")
        self._access = access
        self._user = user
        formatter = validate_formatter(format_arguments)
        self._queues: dict[str, Queue] = {}
        """By the word that stands for the queue in links."""
        for name, huey in _named(hueys):
            queue = Queue(check_huey(huey, "the web interface"), name=name, formatter=formatter)
            slug = _text.slug(queue.name)
            if slug in self._queues:
                raise ValueError(
                    f"hueys= has two Hueys with the name {short(queue.name)}; pass a dict of them "
                    "by different names"
                )
            self._queues[slug] = queue
        if not self._queues:
            raise ValueError("hueys= has no Huey")
        try:
            from . import _pages  # imports Jinja2
        except ModuleNotFoundError as exc:
            raise ModuleNotFoundError(
                f"the web interface needs {exc.name}, which is not installed; "
                "run: pip install 'huey-signals-kit[web]'",
                name=exc.name,
            ) from exc

        self._pages = _pages

    def respond(self, request: Request) -> Response:
        """Return the response to a request; nothing is raised."""
        try:
            response = self._respond(request)
        except Exception:
            _log.exception("The page failed for %r %r", request.method[:20], request.path[:200])
            response = self._pages.message(
                request,
                500,
                "This page failed",
                "The log of the server has the details (logger huey_signals_kit). If you have just "
                "confirmed an action, look at the queue first: it may have been done.",
            )
        return Response(
            response.status, response.body, response.content_type, (*_HEADERS, *response.headers)
        )

    def _respond(self, request: Request) -> Response:
        acts = allowed_acts(self._access, request)
        if acts is None:
            return self._pages.message(
                request,
                403,
                "No access",
                "You are not allowed to see this page. Log in, or ask for the permission.",
            )
        if self._user is not None:
            request = replace(request, user=str(self._user(request) or ""))
        is_read = request.method in ("GET", "HEAD")
        if not is_read and request.method != "POST":
            return self._pages.message(request, 405, "Method not allowed", "Use GET, HEAD or POST.")
        if not is_read and not is_same_origin(request):
            return self._pages.message(
                request,
                403,
                "Cross-site request refused",
                "This request does not come from a page of this site. Open the page again and "
                "repeat the step there. If you did, a proxy may not pass on the header Host.",
            )
        if request.invalid:
            return self._pages.message(
                request, request.invalid, "The request cannot be read", _INVALID[request.invalid]
            )
        content_type = request.headers.get("content-type", "")
        if content_type.lower().startswith("multipart/"):
            return self._pages.message(
                request,
                415,
                "Unsupported type of form",
                "Send the form as application/x-www-form-urlencoded, as browsers do; got "
                f"{_text.clean(content_type)!r}.",
            )
        if is_read and request.path in FILES:
            return FILES[request.path]()
        return self._page(request, acts, is_read)

    def _page(self, request: Request, acts: frozenset[str], is_read: bool) -> Response:
        path = request.path.strip("/")
        if len(self._queues) == 1:
            (queue,), base = self._queues.values(), request.prefix
        else:
            slug, _, path = path.partition("/")
            if not slug:
                return self._pages.queues(request, self._queues)
            if slug not in self._queues:
                return self._pages.message(
                    request, 404, "Not found", f"There is no queue {_text.clean(slug)!r}."
                )
            queue, base = self._queues[slug], f"{request.prefix}/{quote(slug)}"
        visit = Visit(request, queue, base, acts)
        try:
            return self._page_of_queue(visit, path, is_read)
        except Exception as exc:
            if not is_storage_failure(queue.huey, exc):
                raise
            return self._storage_failed(visit, exc, is_read)

    def _page_of_queue(self, visit: Visit, path: str, is_read: bool) -> Response:
        request, acts = visit.request, visit.acts
        wants_json = path.endswith(".json")
        page = self._pages.PAGES.get(path.removesuffix(".json") or "overview")
        if page is None:
            return self._pages.message(request, 404, "Not found", "There is no such page.", visit)
        if page.act_name and page.act_name not in acts:
            return self._pages.message(
                request,
                403,
                "No access",
                f"You may view this queue, but not use the action {page.act_name!r}. Ask for the "
                "permission.",
                visit,
            )
        if not is_read:
            return self._act(visit, page)
        try:
            content = page.read(visit)
        except ReadTimeout:
            return self._pages.waiting(visit, "Waiting for the storage", "It has not answered yet.")
        except NotFound as exc:
            return self._pages.message(request, 404, "Not found", str(exc.args[0]), visit)
        if wants_json:
            return json_response(page.as_json(content))
        return self._pages.render(visit, page, content)

    def _storage_failed(self, visit: Visit, exc: Exception, is_read: bool) -> Response:
        """Return the response to a request whose storage raised an error; log that once a minute.

        Args:
            visit: The request.
            exc: The error.
            is_read: Whether the request could change nothing.
        """
        queue = visit.queue
        if queue.should_log_failure():
            _log.warning(
                "The web interface cannot use %s: %r", describe_storage(queue.huey.storage), exc
            )
        text = storage_problem(queue.huey, exc)
        if is_read:
            return self._pages.waiting(visit, "The storage cannot be used", text)
        return self._pages.message(
            visit.request,
            503,
            "It is not known whether this was done",
            f"{text} The storage may have done it before it failed. When it works again, look "
            "whether it was done, and open the page again to repeat it.",
            visit,
        )

    def _act(self, visit: Visit, page: Any) -> Response:
        if page.act is None:
            return self._pages.message(
                visit.request,
                405,
                "Method not allowed",
                "This page has no form. Open it with GET.",
                visit,
            )
        try:
            response: Response = page.act(visit)
        except ReadTimeout:
            return self._pages.message(
                visit.request,
                503,
                "Nothing was changed",
                "The storage has not answered yet. Try again.",
                visit,
            )
        except Refused as exc:
            return self._pages.message(visit.request, 409, exc.title, exc.reason, visit)
        return response


def storage_problem(huey: Any, exc: Exception) -> str:
    """Return a sentence that says which storage cannot be used, and why, without passwords."""
    reason = redact(" ".join(str(exc).split()).rstrip(".") or type(exc).__name__)
    return f"Cannot use {_text.clean(describe_storage(huey.storage))}: {_text.clean(reason)}."


def _named(hueys: Hueys) -> list[tuple[str | None, Any]]:
    if isinstance(hueys, Mapping):
        return [(str(name), huey) for name, huey in hueys.items()]
    return [(None, huey) for huey in (hueys if isinstance(hueys, (list, tuple)) else [hueys])]


__all__ = ["ACTS", "Access", "Hueys", "Site", "Visit"]
