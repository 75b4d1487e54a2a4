"""Database connections of Django around the handlers of users.

Django closes connections that are too old or broken at both ends of a web request, and djhuey does
so around a ``db_task``. A handler runs outside of both, on a worker or on a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import connections

from ...event import Event
from ...huey_internals.stack import is_between_tasks

Function = Callable[[Event], Any]


def close_connections_around(function: Function, in_background: bool) -> Function:
    """Return `function` with connections closed around it, where no other code uses them.

    - On a consumer's thread between two tasks, old connections are closed before and after the
      call.
    - On a thread of the kit, old connections are closed before the call, and all of them after it.
      The thread may wait for hours until the next event, and an idle connection would prevent
      that Postgres drops a test's database.
    - Anywhere else the handler runs inside other code, such as a task or a view that enqueues a
      task, and that code may have a cursor or a transaction open. Only connections that the
      handler itself has opened are closed.

    Args:
        function: The function of a handler, or its ``when=``.
        in_background: Whether it runs on a thread of the kit.
    """

    @wraps(function)
    def call(event: Event) -> Any:
        if in_background or is_between_tasks():
            _close_old()
            try:
                return function(event)
            finally:
                _close_all() if in_background else _close_old()
        before = _open_connections()
        try:
            return function(event)
        finally:
            for connection in _open_connections():
                if connection not in before and not connection.in_atomic_block:
                    connection.close()

    return call


def _close_old() -> None:
    """Close connections that are broken, or older than ``CONN_MAX_AGE``, as at a request's end.

    A connection in a transaction stays open, such as that of a test that runs a worker. Django's
    `close_old_connections` would close it.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _close_all() -> None:
    """Close the connections of this thread, except those in a transaction."""
    for connection in _open_connections():
        if not connection.in_atomic_block:
            connection.close()


def _open_connections() -> list[Any]:
    """Return the connections of this thread to a database."""
    initialized = connections.all(initialized_only=True)
    return [connection for connection in initialized if connection.connection is not None]
