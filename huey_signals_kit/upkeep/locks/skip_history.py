"""Store how often locks were refused, to know the number of the last hour.

The ledger has the number of skips per lock since the beginning, in the totals. To know how many
were in the last hour, the totals of earlier times are needed: a consumer stores them every five
minutes as notes, and the number now minus the number an hour ago is the answer. A lost or late note
makes the number less exact, and has no other effect.
"""

from __future__ import annotations

import json
from collections import Counter

from ...ledger import Snapshot
from ...metrics.names import LOCK_SKIPS
from ...store import KitStore

SPAN_SECONDS = 3600.0
NOTE_EVERY = 300.0

_KEY = "huey-signals:skips"

Note = tuple[float, dict[str, int]]
"""A time in seconds since the epoch, and the total number of skips by label at that time."""


def skips_so_far(snapshot: Snapshot) -> Counter[str]:
    """Return the total number of skips since the beginning, by the label of the lock."""
    skips: Counter[str] = Counter()
    for (metric, *labels), value in snapshot.totals.items():
        if metric == LOCK_SKIPS and isinstance(value, int):
            skips[labels[-1]] += value
    return skips


def recent_skips(store: KitStore, snapshot: Snapshot, now: float) -> Counter[str]:
    """Return the skips of about the last hour, by label; within an hour of the first note, all.

    Before the first note there were no skips, or no consumer that could store them.

    Args:
        store: The store of the kit's own data.
        snapshot: The ledger now.
        now: Seconds since the epoch.
    """
    skips = skips_so_far(snapshot)
    notes = _read(store.get([_KEY])[0])
    older = [counts for time, counts in notes if time <= now - SPAN_SECONDS]
    skips.subtract(older[-1] if older else {})
    return Counter({label: count for label, count in skips.items() if count > 0})


def store_skips(store: KitStore, snapshot: Snapshot, now: float) -> None:
    """Store the skips so far, if there are any and the last note is five minutes old.

    Args:
        store: The store of the kit's own data.
        snapshot: The ledger now.
        now: Seconds since the epoch.
    """
    skips, (raw,) = skips_so_far(snapshot), store.get([_KEY])
    if not skips:
        return
    notes = [note for note in _read(raw) if note[0] <= now]
    if notes and now - notes[-1][0] < NOTE_EVERY:
        return
    # Of the notes that are older than an hour only the last one is needed.
    older = [note for note in notes if note[0] <= now - SPAN_SECONDS][-1:]
    recent = [note for note in notes if note[0] > now - SPAN_SECONDS]
    new = json.dumps([*older, *recent, (now, skips)]).encode("ascii")
    if raw is None:
        store.put_if_absent(_KEY, new)
    else:
        store.compare_and_set(_KEY, raw, new)


def _read(raw: bytes | None) -> list[Note]:
    """Return the stored notes, oldest first; none if the value is not in this form."""
    try:
        notes = [
            (float(time), {str(label): int(count) for label, count in counts.items()})
            for time, counts in json.loads(raw or b"[]")
        ]
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return []
    return sorted(notes, key=lambda note: note[0])
