"""Deletes a revoke token once it has done its work."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from huey.api import PeriodicTask

from .._checks import listed, nearest, short
from .._filters import checked_call
from ..event import Event

CleanTokens = Callable[[Event], object]

# str(uuid.uuid4()), which is how Huey makes ids.
_GENERATED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def delete_spent_token(event: Event) -> None:
    """After a revoked task was skipped, delete its own token ``r:<id>``.

    Only when it can never stop another run, as ``clean_tokens=`` of the kit says, and never
    of a periodic task or of one that handles an error, which Huey enqueues again by itself.
    A pause switch (``rt:``) is left alone. Deleting takes one round trip.
    """
    if event._context.may_delete_token(event) and event.huey.delete(event.task.revoke_id):
        event._context.token_deleted(event)


def has_generated_id(event: Event) -> bool:
    """Whether Huey made the task's id: one that a user gave can be enqueued again."""
    return bool(_GENERATED.fullmatch(event.task_id))


_POLICIES: dict[str, CleanTokens] = {
    "generated": has_generated_id,
    "always": lambda event: True,
    "never": lambda event: False,
}


def token_policy(clean_tokens: Any) -> Callable[[Event], bool]:
    """Read ``clean_tokens=``: ``"generated"``, ``"always"``, ``"never"`` or a predicate."""
    if isinstance(clean_tokens, str):
        if clean_tokens not in _POLICIES:
            raise ValueError(
                f"clean_tokens= got {short(clean_tokens)}.{nearest(clean_tokens, _POLICIES)} "
                f"Allowed are {listed(_POLICIES)} and a function of an Event"
            )
        decide = _POLICIES[clean_tokens]
    elif callable(clean_tokens):
        decide = checked_call(clean_tokens, "clean_tokens=")
    else:
        raise TypeError(
            f"clean_tokens= takes {listed(_POLICIES)} or a function of an Event, "
            f"got {short(clean_tokens)}"
        )
    return lambda event: not _comes_again(event.task) and bool(decide(event))


def _comes_again(task: Any) -> bool:
    """Whether Huey itself may enqueue the same id again.

    It does so with an ``on_error`` task, for each failed attempt and for each member of a
    group: such a task has the exception among its arguments, and nothing else to tell it by.
    """
    return isinstance(task, PeriodicTask) or any(
        isinstance(argument, BaseException) for argument in task.args
    )
