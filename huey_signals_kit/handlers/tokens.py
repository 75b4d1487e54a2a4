"""Deletion of revoke tokens that are spent: the revoked task was skipped and never runs again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from huey.api import PeriodicTask

from .._checks import listed, nearest, short, truth_of, validate_call
from ..event import Event, Predicate
from ..metrics.names import TOKENS_CLEANED
from ..signals import token_cleaned

CleanTokens = Literal["generated", "always", "never"] | Predicate
"""The type of ``clean_tokens=``."""

_CLEANED = (TOKENS_CLEANED, "skip")
# str(uuid.uuid4()), which is how Huey makes ids.
_GENERATED = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
).fullmatch


def delete_spent_token(event: Event) -> None:
    """Delete the token ``r:<id>`` of a revoked task after the task was skipped.

    The token is deleted only if it can never stop another run, as ``clean_tokens=`` of the kit
    decides. The token of a periodic task stays, and so does that of an ``on_error`` task, because
    Huey enqueues both again by itself. The token of a task class (``rt:``) stays. The deletion
    takes one round trip.

    The record of one of Django's own tasks says from then on that the task was revoked, whether or
    not the token is deleted. Otherwise the record would say READY forever.
    """
    task, context = event._task, event._context
    if event._is_django_task:
        context.cancel_django_record(task)
    # Huey enqueues an on_error task again by itself, for each failed attempt and each member of
    # a group. Only the exception among its arguments tells such a task from others.
    for argument in task.args:
        if isinstance(argument, BaseException):
            return
    if isinstance(task, PeriodicTask) or not context.should_delete_token(event):
        return
    if event._huey.delete(task.revoke_id):
        context.increment(_CLEANED)
        if token_cleaned.receivers:
            context.announce(token_cleaned, key=task.revoke_id, by="skip")


def has_generated_id(event: Event) -> bool:
    """Return whether Huey made the task's id; a task with another id can be enqueued again."""
    return _GENERATED(str(event._task.id)) is not None


_POLICIES: dict[str, Predicate] = {
    "generated": has_generated_id,
    "always": lambda event: True,
    "never": lambda event: False,
}


def token_policy(clean_tokens: Any) -> Callable[[Event], object]:
    """Return the predicate for ``clean_tokens=``.

    Args:
        clean_tokens: ``"generated"``, ``"always"``, ``"never"`` or a predicate.
    """
    if callable(clean_tokens):
        predicate = validate_call(clean_tokens, "clean_tokens=")
        return lambda event: truth_of(predicate(event), "clean_tokens=")
    if not isinstance(clean_tokens, str):
        raise TypeError(
            f"clean_tokens= takes {listed(_POLICIES)} or a function of an Event, "
            f"got {short(clean_tokens)}"
        )
    if clean_tokens not in _POLICIES:
        raise ValueError(
            f"clean_tokens= got {short(clean_tokens)}.{nearest(clean_tokens, _POLICIES)} "
            f"Allowed are {listed(_POLICIES)} and a function of an Event"
        )
    return _POLICIES[clean_tokens]
