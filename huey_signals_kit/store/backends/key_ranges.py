"""Ranges of keys in SQL that hold whatever the collation of the column is."""

from __future__ import annotations

import re

# A letter with one after it in every alphabet (in some y and z follow on i and s, and q on k),
# and then something that no alphabet makes one letter of together with it.
_LETTER = re.compile(r"[a-or-u](?=[!-/:-@\[-`{-~])")


def key_range(prefix: str) -> tuple[str, str] | None:
    """Two texts between which all keys are that begin with *prefix*; None where none are known.

    There may be others between them. Collations pass over punctuation and capitals at first,
    but every one of them tells two keys apart by the first letter that differs.
    """
    if not prefix.isascii():
        return None
    ends = [match.end() for match in _LETTER.finditer(prefix)]
    if not ends:
        return None
    first = prefix[: ends[-1]]
    return first, f"{first[:-1]}{chr(ord(first[-1]) + 1)}"
