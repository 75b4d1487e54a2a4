"""The confirmation page of an action, and the steps after it: log and redirect."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from ...runtime.log import log
from .._queue import QueueState
from .._request import Response
from .._site import Visit


@dataclass(frozen=True)
class Confirmation:
    """The page that is shown before an act."""

    state: QueueState
    act: str
    question: str
    """What will be done, such as ``Release the lock``, before the name."""
    name: str
    """The object; empty for the whole queue."""
    button: str
    back: str
    """The path of the page that *Cancel* leads to."""
    facts: Sequence[tuple[str, str]] = ()
    """What is known of the object: a title and a text each."""
    effects: Sequence[str] = ()
    """What will happen, and what is protected; one sentence or more each."""
    refusal: str = ""
    """Why the act is not possible; then there is no button."""
    fields: dict[str, str] = field(default_factory=dict)
    """The hidden fields of the form."""
    choices: Sequence[tuple[str, str]] = ()
    """Values and titles to choose the field `choice` from."""
    choice: str = ""
    command: str = ""
    """The same act as a command, or as a line of Python."""
    is_python: bool = False
    progress: str = ""
    """What is being done now in the background."""
    is_ended: bool = False
    """Whether the run has ended, so that its result is shown in place of the form."""
    is_stopped: bool = False
    """Whether that run has ended early, such as by an error."""
    counts: Sequence[tuple[str, int]] = ()
    """What was counted, or done in the background."""
    sign: str = ""
    """``alive``, ``dead`` or ``unknown``: the state of a holder."""
    evidence: str = ""
    """What `sign` rests on."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "act": self.act,
            "object": self.name,
            "state": self.sign or None,
            "evidence": self.evidence or None,
            "facts": dict(self.facts),
            "effects": list(self.effects),
            "refusal": self.refusal or None,
            "command": self.command or None,
            "progress": self.progress or None,
            "counts": dict(self.counts),
        }


def encode_field(value: str) -> str:
    """Return the value of a hidden field, percent-encoded: browsers change line ends in fields."""
    return quote(value, safe=" /:.,*")


def form_fields(visit: Visit) -> dict[str, str]:
    """Return the fields of a form, as they were before `encode_field`."""
    return {name: unquote(value) for name, value in visit.request.form.items()}


def record(visit: Visit, act: str, target: str, count: int) -> None:
    """Log an act that was done; with a kit in this process also count and announce it.

    A process without a kit has nothing to count in: the ledger takes counts only from a process
    that writes heartbeats.

    Args:
        visit: The request, which has the user.
        act: The name of the act.
        target: The lock, the id or the task; empty for the whole queue.
        count: The number of things that were changed.
    """
    queue, user = visit.queue, visit.request.user
    log_action(visit, act, target, f"{count} changed", count=count)
    kit = queue.kit
    if kit is not None:
        kit.report_page_action(act, target, count, user)
    queue.refresh()


def log_action(visit: Visit, act: str, target: str, outcome: str, **fields: Any) -> None:
    """Log an action with its user.

    Args:
        visit: The request, which has the user.
        act: The name of the action.
        target: The lock, the id or the task; empty for the whole queue.
        outcome: What was done, such as ``3 changed``.
        **fields: Further fields of the record.
    """
    queue, user = visit.queue, visit.request.user
    log(
        logging.INFO,
        "Web interface: %s%s on the queue %r, by %s: %s.",
        act,
        f" of {target[:300]!r}" if target else "",
        queue.name,
        f"the user {user!r}" if user else "an unknown user",
        outcome,
        queue=queue.name,
        action=act,
        user=user,
        object=target[:300],
        **fields,
    )


def redirect(visit: Visit, page: str, notice: str, **query: str) -> Response:
    """Return a redirect to a page with a notice, so that a reload does not repeat the action.

    Args:
        visit: The request.
        page: The name of the page.
        notice: A key of `NOTICES`.
        **query: Values of the query of the page.
    """
    return Response(
        303, headers=(("Location", visit.url(page, **query, done=notice, at=f"{time.time():.0f}")),)
    )
