"""A request and a response, without a web framework."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

MAX_BODY = 65_536
"""Maximum size of a request body, in bytes; a form has less than a tenth."""
_PATH_CHARACTERS = "/~!$&'()*+,;=:@"


@dataclass(frozen=True)
class Request:
    """An HTTP request; the argument of `access`."""

    method: str
    path: str
    """The path below the mount point; begins with ``/``."""
    prefix: str = ""
    """The path of the mount point, encoded as in a link, without a slash at its end."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case."""
    form: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    """The name of the user, for the log; empty if unknown."""
    hidden_fields: Callable[[], Mapping[str, str]] = dict
    """Returns further fields for each form, such as Django's CSRF token."""
    native: Any = None
    """The request as the server gives it: WSGI's environ, ASGI's scope, Django's request."""
    invalid: int = 0
    """The status of the response if the request cannot be read, such as 413 for a body that is too
    long; 0 if it can."""


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


def read_request(
    method: str,
    path: str,
    prefix: str | bytes,
    query: bytes,
    headers: Iterable[tuple[str, str]],
    body: bytes | int,
    **fields: Any,
) -> Request:
    """Return a request from what a server knows of it.

    Args:
        method: The method.
        path: The path below `prefix`, decoded.
        prefix: The path where the web interface is mounted, decoded; bytes if it may be no text.
        query: The query, encoded.
        headers: Names in any case and values; values of the same name are joined.
        body: The body, or the status of the response if the body cannot be read.
        **fields: Further fields of the `Request`.
    """
    joined: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        separator = "; " if name == "cookie" else ", "
        joined[name] = f"{joined[name]}{separator}{value}" if name in joined else value
    invalid, query_fields, form = 0, dict[str, str](), dict[str, str]()
    try:
        query_fields = parse_form(query)
        if isinstance(body, int):
            invalid = body
        else:
            form = parse_form(body)
    except ValueError:
        invalid = 400
    return Request(
        method,
        path if path.startswith("/") else f"/{path}",
        encode_prefix(prefix),
        query_fields,
        joined,
        form,
        invalid=invalid,
        **fields,
    )


def encode_prefix(path: str | bytes) -> str:
    """Return the path of a mount as links have it: a path of this site, without a slash at its end.

    Args:
        path: The path, decoded.
    """
    path = path.encode("utf-8", "surrogatepass") if isinstance(path, str) else path
    # A link that begins with two slashes would lead to another site.
    path = path.strip(b"/")
    return f"/{quote(path, safe=_PATH_CHARACTERS)}" if path else ""


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form or of a query; of a repeated field the last value.

    Raises:
        ValueError: There are more than 100 fields.
    """
    text = body.decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100))
