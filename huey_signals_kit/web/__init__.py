"""A web interface for queues: who holds which lock, what runs, what is stored.

`wsgi` and `asgi` return an application to mount under any path. Access is closed by default: the
function `access` decides for each request.

    from huey_signals_kit.web import wsgi

    page = wsgi(huey, access=lambda request: "read" if is_operator(request) else None)

``"act"`` allows every action, and a set allows some: ``release`` (the lock of a dead process),
``delete-token``, ``sweep``, ``purge``, ``revoke``, ``restore``, ``pause``, ``resume``, ``run-now``
(a periodic task) and ``run-again`` (a failed task).

The package Jinja2 is needed: ``pip install 'huey-signals-kit[web]'``.
"""

from ._asgi import asgi
from ._request import MAX_BODY, Request, Response, read_request
from ._site import Access, Site
from ._wsgi import wsgi
from .arguments import FormatArguments

__all__ = [
    "MAX_BODY",
    "Access",
    "FormatArguments",
    "Request",
    "Response",
    "Site",
    "asgi",
    "read_request",
    "wsgi",
]
