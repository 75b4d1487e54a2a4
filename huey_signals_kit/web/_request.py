"""A request and a response, without a web framework."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

MAX_BODY = 65_536
"""Bytes of a request that are read; a form of the page has less than a tenth."""


@dataclass(frozen=True)
class Request:
    """One request, as `access` gets it too."""

    method: str
    path: str
    """The path below the place where the page is mounted; begins with ``/``."""
    prefix: str = ""
    """The path where the page is mounted, without a slash at its end."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case."""
    form: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """Who sent it, for the log, if the server or the framework knows."""
    hidden_fields: Callable[[], Mapping[str, str]] = dict
    """Returns what each form of the page sends along, such as the token of Django against CSRF."""
    native: Any = None
    """The request as the server gives it: WSGI's environ, ASGI's scope, Django's request."""


@dataclass(frozen=True)
class Response:
    """An answer to a request."""

    status: int
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


def json_response(content: Any, status: int = 200) -> Response:
    """Return plain values as JSON."""
    body = json.dumps(content, ensure_ascii=True, indent=1).encode()
    return Response(status, body, "application/json")


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form or of a query; of a repeated field the last value.

    Raises:
        ValueError: There are more than 100 fields.
    """
    text = body.decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
