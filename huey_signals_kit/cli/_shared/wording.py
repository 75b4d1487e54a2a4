"""Parts of sentences: plurals, verbs and lists."""

from __future__ import annotations

from collections.abc import Iterable


def pluralize(count: int, noun: str) -> str:
    """Return ``1 token``, ``2,000 tokens``, ``3 entries`` or ``4 processes``."""
    ending = "ies" if noun.endswith("y") else "es" if noun.endswith("s") else "s"
    plural = f"{noun.removesuffix('y')}{ending}"
    return f"{count:,} {noun if count == 1 else plural}"


def verb(count: int, plural: str) -> str:
    """Return the form of a verb for `count` subjects, such as ``waits`` or ``wait``.

    Args:
        count: How many subjects the verb has.
        plural: The plural: ``are``, ``have``, ``were`` or a regular verb.
    """
    irregular = {"are": "is", "have": "has", "were": "was"}
    return plural if count != 1 else irregular.get(plural, f"{plural}s")


def join_limited(names: Iterable[str], limit: int = 5) -> str:
    """Return `names` with commas between them; only the number of those beyond `limit`."""
    names = list(names)
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
