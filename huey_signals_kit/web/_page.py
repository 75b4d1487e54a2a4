"""The description of a page, and the error that a page raises to refuse an act."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._request import Response

if TYPE_CHECKING:
    from ._site import Visit


@dataclass(frozen=True)
class Page:
    """One page.

    Args:
        title: Its title.
        template: The file of its template.
        read: Returns what it shows; raises `NotFound` if the object does not exist.
        as_json: Returns that as plain values.
        tab: The page of the navigation that it belongs to.
        act: Handles a POST; None for a page without a form.
        act_name: The act of `access` that the page needs, also to be shown.
        is_of_object: Whether the query must name a lock, a task or a token.
    """

    title: str
    template: str
    read: Callable[[Visit], Any]
    as_json: Callable[[Any], Any]
    tab: str
    act: Callable[[Visit], Response] | None = None
    act_name: str = ""
    is_of_object: bool = False


class NotFound(LookupError):
    """There is no such object; the text is a sentence for the user."""


class Refused(Exception):
    """The reason why an act was not done; nothing was changed.

    Args:
        title: What was not done, such as ``Nothing was released``.
        reason: One or more sentences.
    """

    def __init__(self, title: str, reason: str) -> None:
        super().__init__(reason)
        self.title = title
        self.reason = reason
