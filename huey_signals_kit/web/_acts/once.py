"""Forms that may be sent once only, because a second time would enqueue a second run.

The numbers of the last forms that were sent are kept among the kit's own data, so that several
processes of a server know them. An old form is refused without looking.
"""

from __future__ import annotations

import json
import time
from secrets import token_hex
from typing import Any

from ...store import UPKEEP, open_kit_store

KEY = "huey-signals:page-forms"
_MAX_AGE = 3600.0
_MAX_USED = 200
_TRIES = 20


def new_form_id() -> str:
    """Return a number for a form."""
    return f"{int(time.time())}-{token_hex(16)}"


def use_form_id(huey: Any, form_id: str) -> bool:
    """Note that a form was sent; return False if it was sent before, or is older than an hour.

    Args:
        huey: The Huey.
        form_id: What `new_form_id` has returned.
    """
    made, _, number = form_id.partition("-")
    is_form_id = made.isdigit() and len(made) <= 12 and len(number) == 32 and number.isalnum()
    if not is_form_id or abs(time.time() - int(made)) > _MAX_AGE:
        return False
    store = open_kit_store(huey, UPKEEP)
    for _ in range(_TRIES):
        (raw,) = store.get([KEY])
        used = _read(raw)
        if form_id in used:
            return False
        new = json.dumps([*used, form_id][-_MAX_USED:]).encode("ascii")
        is_written = (
            store.put_if_absent(KEY, new) if raw is None else store.compare_and_set(KEY, raw, new)
        )
        if is_written:
            return True
    return False


def _read(raw: bytes | None) -> list[str]:
    try:
        return [str(each) for each in json.loads(raw or b"[]")]
    except (ValueError, TypeError, RecursionError):
        return []
