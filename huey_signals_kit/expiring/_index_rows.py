"""An index of errors that expire, as rows of the kit's own queue in the table of results.

The key ``huey-signals:expiring:<due>x<hash>`` is short and ASCII, whatever the result's key is,
and sorts by when it is due: 15 digits of milliseconds since the epoch. The value has the
digest of the error and the key of the result.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..store import kit_queue
from ._entry import BATCH, Entry, digest

PREFIX = "huey-signals:expiring:"
_DIGEST = 40


def index_row(queue: str, entry: Entry) -> tuple[str, str, bytes]:
    """Return queue, key and value of the row that says when an error of `queue` is due."""
    name = digest(entry.key.encode("utf-8", "surrogatepass"))
    key, value = f"{_bound(entry.due_ms)}x{name}", f"{entry.digest}{entry.key}".encode()
    return kit_queue(queue), key, value


def bounds(now: float) -> tuple[str, str]:
    """The keys between which all rows are that are due.

    They differ from those rows' keys first in a digit: every collation sorts digits alike,
    whatever it makes of punctuation and capitals.
    """
    return f"{PREFIX}0", _bound(round(now * 1000) + 1)


def _bound(milliseconds: int) -> str:
    return f"{PREFIX}{milliseconds:015d}"


class Due:
    """The rows that were found between the `bounds`."""

    def __init__(self, rows: Iterable[tuple[str, bytes]]) -> None:
        self.rows: list[str] = []
        self._digests: dict[str, set[str]] = {}
        read = 0
        for key, value in rows:
            read += 1
            # A collation that passes over punctuation lets others in between.
            if key.startswith(PREFIX):
                self.rows.append(key)
                text = bytes(value).decode()
                self._digests.setdefault(text[_DIGEST:], set()).add(text[:_DIGEST])
        self.more = bool(self.rows) and read == BATCH
        """Whether a query for `BATCH` rows may have left some."""

    @property
    def keys(self) -> list[str]:
        """The keys of the results that they are about."""
        return list(self._digests)

    def unchanged(self, found: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        """Those of the *found* results that are still the errors that are due."""
        rows = ((key, bytes(value)) for key, value in found)
        return [(key, value) for key, value in rows if digest(value) in self._digests.get(key, ())]
