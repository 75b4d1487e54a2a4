"""Protection against sending a form twice, as by a reload, or days later.

The value that a form names cannot tell this: all endless tokens have the same bytes, so a form for
a token that was deleted would fit the next one, too. The ids of the last 200 forms that were sent
are kept among the kit's own data, so that all processes of a server know them. A form older than an
hour is refused.
"""

from __future__ import annotations

import json
import time
from secrets import token_hex

from ...store import UPKEEP, open_kit_store
from .._page import Refused
from .._site import Visit
from .confirmation import form_fields

FIELD = "form_id"
"""The hidden field with the id of a form."""

KEY = "huey-signals:page-forms"
_SENT = "This form was already sent, or is older than an hour. Open the page again."
_MAX_AGE = 3600.0
_MAX_USED = 200
_TRIES = 20


def new_form_id() -> str:
    """Return a new id for a form."""
    return f"{int(time.time())}-{token_hex(16)}"


def use_form(visit: Visit, title: str) -> None:
    """Mark the form of a request as used; called immediately before the action.

    Args:
        visit: The request.
        title: What was not done if the form is refused, such as ``Nothing was enqueued``.

    Raises:
        Refused: The form was already sent, or is older than an hour.
    """
    form_id = form_fields(visit).get(FIELD, "")
    created, _, token = form_id.partition("-")
    is_form_id = created.isdigit() and len(created) <= 12 and len(token) == 32 and token.isalnum()
    if not is_form_id or abs(time.time() - int(created)) > _MAX_AGE:
        raise Refused(title, _SENT)
    store = open_kit_store(visit.queue.huey, UPKEEP)
    for _ in range(_TRIES):
        (raw,) = store.get([KEY])
        used = _read(raw)
        if form_id in used:
            raise Refused(title, _SENT)
        new = json.dumps([*used, form_id][-_MAX_USED:]).encode("ascii")
        is_written = (
            store.put_if_absent(KEY, new) if raw is None else store.compare_and_set(KEY, raw, new)
        )
        if is_written:
            return
    raise Refused(title, "The storage is busy. Try again.")


def _read(raw: bytes | None) -> list[str]:
    try:
        return [str(each) for each in json.loads(raw or b"[]")]
    except (ValueError, TypeError, RecursionError):
        return []
