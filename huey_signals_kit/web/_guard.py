"""Permissions, and protection against cross-site requests (CSRF).

A browser sends cookies and passwords with every request to a site, also with those that another
site has caused. So a request that changes something is accepted only if the browser says that it
comes from a page of the same origin: by the header ``Sec-Fetch-Site`` (all browsers since 2023), or
by ``Origin``, which must name the host of the request. A request with neither is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from urllib.parse import urlsplit

from .._checks import short
from ._request import Request

Access = Callable[[Request], "str | Set[str] | None"]
"""Returns what a request may do: None, ``"read"``, ``"act"``, or a set of actions."""
User = Callable[[Request], "str | None"]

ACTS = frozenset(
    {
        "release",
        "delete-token",
        "sweep",
        "purge",
        "revoke",
        "restore",
        "pause",
        "resume",
        "run-now",
        "run-again",
    }
)
"""The names of all actions: everything that the web interface can change."""


def allowed_acts(access: Access, request: Request) -> frozenset[str] | None:
    """Return the actions that a request may do; None if it may not even read.

    Raises:
        TypeError: `access` returned something else than None, ``"read"``, ``"act"`` or a set.
        ValueError: The set has an unknown action.
    """
    granted = access(request)
    if granted is None:
        return None
    if isinstance(granted, str):
        if granted not in ("read", "act"):
            raise ValueError(
                "access() must return None, 'read', 'act' or a set of actions; got "
                f"{short(granted)}"
            )
        return ACTS if granted == "act" else frozenset()
    if not isinstance(granted, Set):
        raise TypeError(
            f"access() must return None, 'read', 'act' or a set of actions; got {short(granted)}"
        )
    if unknown := granted - ACTS:
        raise ValueError(
            f"access() returned the unknown action {short(sorted(unknown)[0])}; the actions are "
            f"{', '.join(sorted(ACTS))}"
        )
    return frozenset(granted)


def is_same_origin(request: Request) -> bool:
    """Return whether the browser says that a request comes from a page of the same origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin, host = request.headers.get("origin"), request.headers.get("host")
    if not origin or not host or origin == "null":
        return False
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
