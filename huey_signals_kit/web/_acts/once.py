"""Protection against sending a form twice, as by a reload, or days later.

The value that a form names cannot tell this: all endless tokens have the same bytes, so a form for
a token that was deleted would fit the next one, too. The ids of the forms that were sent in the
last hour are kept among the kit's own data, so that all processes of a server know them. A form
older than an hour is refused. If there are more than `_MAX_USED`, forms that are as old as those
that are no longer known are refused, too. Only if that key is deleted can a form work twice.
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
_MAX_USED = 2000
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
        forgotten, used = _read(raw)
        if form_id in used or int(created) <= forgotten:
            raise Refused(title, _SENT)
        new = _dump(forgotten, [*used, form_id])
        is_written = (
            store.put_if_absent(KEY, new) if raw is None else store.compare_and_set(KEY, raw, new)
        )
        if is_written:
            return
    raise Refused(title, "The storage is busy. Try again.")


def _dump(forgotten: int, used: list[str]) -> bytes:
    oldest = time.time() - _MAX_AGE
    used = sorted(form_id for form_id in used if _created(form_id) >= oldest)
    if len(used) > _MAX_USED:
        forgotten = max(forgotten, *map(_created, used[:-_MAX_USED]))
    return json.dumps({"forgotten": forgotten, "used": used[-_MAX_USED:]}).encode("ascii")


def _created(form_id: str) -> int:
    return int(form_id.partition("-")[0])


def _read(raw: bytes | None) -> tuple[int, list[str]]:
    """Return the time up to which forms are no longer known, and the ids of those after it."""
    try:
        content = json.loads(raw or b"{}")
        used = [str(form_id) for form_id in content.get("used", ())]
        used = [form_id for form_id in used if form_id.partition("-")[0].isdecimal()]
        return int(content.get("forgotten", 0)), used
    except (ValueError, TypeError, AttributeError, RecursionError):
        return 0, []
