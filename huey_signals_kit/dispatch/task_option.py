"""``@huey.task(lock_errors=...)``: the verdict that a task declares for its own lock errors.

The value is ``"keep"``, ``"drop"``, or a number of seconds, as for `expire`. One of Django's own
tasks has the value as an attribute of its function, see `huey_signals_kit.contrib.django`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from .._checks import listed, nearest, short
from .._lock_errors import LockErrors
from ..huey_internals.django_tasks import RUN_TASK_NAME, lock_errors_of, task_name
from ..runtime.log import log_error
from ..verdict import BY_NAME, Verdict, expire

_django_seconds: list[Any] = []
"""The numbers of seconds that Django tasks were declared with in this process."""


class TaskOption:
    """Reader of the ``lock_errors`` of tasks; an invalid value is ignored and logged once."""

    def __init__(self, lock_errors: LockErrors) -> None:
        self._lock_errors = lock_errors
        self._logged: set[str] = set()

    def verdict(self, task: Any, exception: BaseException) -> Verdict | None:
        """Return the verdict of the option of `task`; None if invalid, or no lock error."""
        if not self._lock_errors.match(exception):
            return None
        option = lock_errors_of(task)
        if option is None:
            return None
        verdict = _verdict_of(option)
        if verdict is None:
            self._log_invalid(task_name(task), option)
        return verdict

    @staticmethod
    def expires_errors_of(huey: Any) -> bool:
        """Return whether a task that is declared on `huey` has a number of seconds."""
        tasks = huey._registry._registry.copy()
        if _django_seconds and RUN_TASK_NAME in tasks:
            return True
        return any(_is_number(getattr(task, "lock_errors", None)) for task in tasks.values())

    def log_invalid(self, huey: Any) -> None:
        """Log each task that is declared on `huey` with an invalid value."""
        for name, task in huey._registry._registry.copy().items():
            with suppress(Exception):  # of a value of the user's, such as a string without a hash
                option = getattr(task, "lock_errors", None)
                if option is not None and _verdict_of(option) is None:
                    self._log_invalid(name, option)

    def _log_invalid(self, task_name: str, given: object) -> None:
        if task_name in self._logged:
            return
        self._logged.add(task_name)
        log_error(
            "Task %s has lock_errors=%s, which is ignored.%s Allowed are %s, and seconds above 0.",
            task_name,
            short(given),
            nearest(given, BY_NAME),
            listed(BY_NAME),
            task=task_name,
        )


def hint_for_invalid(option: object) -> str | None:
    """Return which values ``lock_errors`` takes if `option` is none of them, else None."""
    if _verdict_of(option) is not None:
        return None
    return f"{nearest(option, BY_NAME)} Allowed are {listed(BY_NAME)}, and seconds above 0.".strip()


def declare_django_option(option: object) -> None:
    """Validate the ``lock_errors`` of a Django task.

    Raises:
        TypeError: It is neither a string nor a number.
        ValueError: It is another string, or a number of seconds that is too small or too large.
    """
    if _verdict_of(option) is None:
        error = ValueError if isinstance(option, str) or _is_number(option) else TypeError
        raise error(
            f"lock_errors() takes {listed(BY_NAME)}, or seconds above 0 and at most ten years, got "
            f"{short(option)}.{nearest(option, BY_NAME)}"
        )
    if _is_number(option):
        _django_seconds.append(option)


def _verdict_of(option: Any) -> Verdict | None:
    if isinstance(option, str) and option in BY_NAME:
        return BY_NAME[option]
    if _is_number(option):
        with suppress(ValueError):
            return expire(option)
    return None


def _is_number(given: object) -> bool:
    return isinstance(given, (int, float)) and not isinstance(given, bool)
