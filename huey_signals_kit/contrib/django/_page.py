"""The web interface as a view of Django: permissions, login and the CSRF token of its forms."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse, UnreadablePostError
from django.middleware.csrf import get_token
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_protect

from ...runtime.log import log
from ._formatter import FORMATTER, read_formatter
from ._installation import installation

if TYPE_CHECKING:
    from ...web import FormatArguments, Request, Site

VIEW, ACT = "huey_signals.view_queue", "huey_signals.act_on_queue"
_GRANTED = "_huey_signals_granted"
_FORM = "application/x-www-form-urlencoded"


def page_urls(
    name: str, may_enter: Callable[[Any], bool], login_url: Callable[[], str]
) -> list[Any]:
    """Return the URL patterns of the web interface.

    Args:
        name: The name of the URL pattern of the overview.
        may_enter: Called with a request; returns whether this site lets its user in at all. The
            permission is checked in addition.
        login_url: Returns the URL to which visitors who are not logged in are redirected.
    """

    def page(request: Any, path: str = "", **_: Any) -> Any:
        granted = granted_to(request.user) if may_enter(request) else None
        if granted is None and _should_log_in(request, path):
            return redirect_to_login(request.get_full_path(), login_url())
        setattr(request, _GRANTED, granted)
        answer = _site().respond(_request(request, path))
        body = b"" if request.method == "HEAD" else answer.body
        response = HttpResponse(body, status=answer.status, content_type=answer.content_type)
        for header, value in answer.headers:
            response[header] = value
        response["Content-Length"] = str(len(answer.body))
        return response

    # Without this, Django's LoginRequiredMiddleware would redirect requests for files and JSON.
    view = csrf_protect(login_not_required(page))
    return [path("", view, name=name), re_path(r"^(?P<path>[\s\S]+)$", view)]


def granted_to(user: Any) -> str | None:
    """Return what the permissions of a user allow, as `access` does."""
    if user.has_perm(ACT):
        return "act"
    return "read" if user.has_perm(VIEW) else None


def _should_log_in(request: Any, path: str) -> bool:
    """Return whether to redirect to the login: for pages, but not for files and JSON."""
    user = getattr(request, "user", None)
    return (
        request.method in ("GET", "HEAD")
        and not getattr(user, "is_authenticated", False)
        and request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
        and not path.startswith("static/")
        and not path.endswith(".json")
        and path != "healthz"
    )


@cache
def _site() -> Site:
    from ...web import Site

    hueys = {queue.name: queue.huey for queue in installation.queues}
    return Site(
        hueys,
        access=lambda request: getattr(request.native, _GRANTED, None),
        format_arguments=_formatter(),
    )


def _formatter() -> FormatArguments | None:
    """Return the function of the setting; None, which hides arguments, if the setting is wrong."""
    try:
        return read_formatter()
    except (Exception, SystemExit) as exc:  # the system check E014 reports it, too
        log(logging.ERROR, "%s is not used, so arguments are hidden: %r", FORMATTER, exc)
        return None


def _request(request: Any, path: str) -> Request:
    from ...web import read_request

    user = getattr(request, "user", None)
    # Under ASGI the path of a request does not begin with FORCE_SCRIPT_NAME.
    mounted = request.META["SCRIPT_NAME"].rstrip("/") + request.path_info
    headers = {**request.headers, "Host": request.get_host()}
    return read_request(
        request.method,
        f"/{path}",
        mounted[: len(mounted) - len(path)],
        request.META.get("QUERY_STRING", "").encode("latin-1", "replace"),
        headers.items(),
        _body(request),
        user=user.get_username() if user is not None else "",
        hidden_fields=lambda: {"csrfmiddlewaretoken": get_token(request)},
        native=request,
    )


def _body(request: Any) -> bytes | int:
    """Return the body if it is a form, else nothing; or the status if it cannot be read."""
    from ...web import MAX_BODY

    if request.content_type != _FORM:
        return b""
    try:
        body: bytes = request.body
    except UnreadablePostError:  # the client disconnected
        return 400
    return body if len(body) <= MAX_BODY else 413
