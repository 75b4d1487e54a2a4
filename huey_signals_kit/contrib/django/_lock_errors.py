"""The ``lock_errors`` of Django's own tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from huey.api import TaskWrapper

from ..._checks import short
from ...dispatch.task_option import declare_django_option
from ...huey_internals.django_tasks import is_task_object

F = TypeVar("F", bound=Callable[..., Any])


def lock_errors(option: Literal["keep", "drop"] | float) -> Callable[[F], F]:
    """Declare what is stored if a Django task cannot get its lock, whatever the preset says.

    Write the decorator under Django's::

        @task
        @lock_errors("keep")
        def send(): ...

    It sets the attribute ``lock_errors`` of the function, and changes nothing else.

    Args:
        option: ``"keep"``, ``"drop"``, or the seconds for which a small error is stored.

    Raises:
        TypeError: The option is neither a string nor a number, or the decorator is not under
            Django's.
        ValueError: The option is another string, or the seconds are out of range.
    """
    declare_django_option(option)

    def declare(function: F) -> F:
        if isinstance(function, TaskWrapper):
            raise TypeError(
                f"lock_errors() is for Django's own tasks, got {short(function)}; for a task of "
                f"Huey write @huey.task(lock_errors={option!r})"
            )
        if is_task_object(function):
            raise TypeError(
                f"lock_errors() takes the function of a task, got {short(function)}; write "
                f"@lock_errors({option!r}) under @task"
            )
        if not callable(function) or not hasattr(function, "__dict__"):
            raise TypeError(
                f"lock_errors() takes a function that def defines, got {short(function)}, on which "
                f"no option can be set; write a function that calls it, with @task and "
                f"@lock_errors({option!r})"
            )
        vars(function)["lock_errors"] = option
        return function

    return declare
