"""Parts of sentences: plurals, verbs and lists."""

from __future__ import annotations

from collections.abc import Iterable

from ...upkeep.wording import pluralize, verb

__all__ = ["join_limited", "pluralize", "verb"]


def join_limited(names: Iterable[str], limit: int = 5) -> str:
    """Return `names` with commas between them; only the number of those beyond `limit`."""
    names = list(names)
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
