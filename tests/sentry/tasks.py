"""Tasks that end in each way that matters to Sentry, by the name of the way."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import pytest
from huey.api import Huey
from huey.exceptions import TaskLockedException
from redis.exceptions import LockError, LockNotOwnedError

Group: Any = getattr(builtins, "ExceptionGroup", None)


class Busy(Exception):
    """The application's own word for a lock that is taken."""


class NightlyBusy(TaskLockedException):
    """The same, as a kind of Huey's."""


def _taken() -> TaskLockedException:
    return TaskLockedException("unable to acquire lock held")


def plain() -> None:
    raise _taken()


def wrapped() -> None:
    try:
        raise _taken()
    except TaskLockedException as error:
        raise Busy("later") from error


def subclass() -> None:
    raise NightlyBusy("unable to acquire lock held")


def not_acquired() -> None:
    raise LockError("Unable to acquire lock within the time specified")


def group() -> None:
    raise Group("none of them", [_taken(), LockError("Unable to acquire lock")])


def while_handling() -> None:
    try:
        raise _taken()
    except TaskLockedException:
        raise ValueError("on the way out")  # noqa: B904


def lost() -> None:
    raise LockNotOwnedError("Cannot release a lock that's no longer owned")


def mixed_group() -> None:
    raise Group("one is real", [_taken(), ValueError("broken")])


def broken() -> None:
    raise ValueError("broken")


without_groups = pytest.mark.skipif(Group is None, reason="exception groups came in Python 3.11")

# Those that Sentry would report: its integration leaves out Huey's own exception.
LOCK_ERRORS = [wrapped, subclass, not_acquired, pytest.param(group, marks=without_groups)]
REAL_ERRORS = [broken, while_handling, lost, pytest.param(mixed_group, marks=without_groups)]


def task_of(huey: Huey, *ways: Callable[[], object], name: str = "report", **options: Any) -> Any:
    """A task of this name whose runs end in these ways, one after the other, whatever is given."""
    left = list(ways)

    @huey.task(name=name, **options)
    def report(*args: Any) -> Any:
        return left.pop(0)()

    return report
