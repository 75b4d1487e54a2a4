"""How often which lock could not be had lately: what had been counted at some earlier moments.

They are noted by whoever looks after locks. Lost or late ones make a figure rougher, no more.
"""

from __future__ import annotations

import json
from collections import Counter

from ...ledger import Snapshot
from ...metrics.names import LOCK_SKIPS
from ...store import KitStore

SPAN_SECONDS = 3600.0
NOTED_EVERY = 300.0

_KEY = "huey-signals:skips"

Moment = tuple[float, dict[str, int]]


def skips_so_far(snapshot: Snapshot) -> Counter[str]:
    """All that was ever counted, by the label that a lock's name becomes."""
    found: Counter[str] = Counter()
    for (metric, *labels), value in snapshot.totals.items():
        if metric == LOCK_SKIPS and isinstance(value, int):
            found[labels[-1]] += value
    return found


def recent_skips(store: KitStore, snapshot: Snapshot, now: float) -> Counter[str]:
    """Return the skips of about the last hour; within an hour of the first note, all skips.

    A consumer notes the skips every five minutes, so before the first note there were no skips, or
    no consumer to note them.
    """
    found = skips_so_far(snapshot)
    notes = _read(store.get([_KEY])[0])
    older = [counts for moment, counts in notes if moment <= now - SPAN_SECONDS]
    found.subtract(older[-1] if older else {})
    return Counter({label: count for label, count in found.items() if count > 0})


def note_skips(store: KitStore, snapshot: Snapshot, now: float) -> None:
    """Note what was counted until *now*, if anything was and the last note is not so young."""
    counted, (raw,) = skips_so_far(snapshot), store.get([_KEY])
    if not counted:
        return
    notes = [note for note in _read(raw) if note[0] <= now]
    if notes and now - notes[-1][0] < NOTED_EVERY:
        return
    older = [note for note in notes if note[0] <= now - SPAN_SECONDS][-1:]
    kept = [*older, *(note for note in notes if note[0] > now - SPAN_SECONDS)]
    new = json.dumps([*kept, (now, counted)]).encode("ascii")
    if raw is None:
        store.put_if_absent(_KEY, new)
    else:
        store.compare_and_set(_KEY, raw, new)


def _read(raw: bytes | None) -> list[Moment]:
    try:
        found = [
            (float(moment), {str(label): int(count) for label, count in counts.items()})
            for moment, counts in json.loads(raw or b"[]")
        ]
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return []
    return sorted(found, key=lambda note: note[0])
