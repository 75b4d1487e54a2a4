"""Sweeps one queue again and again, in a process of its own, until it is told to end.

``python -m tests.faults.sweeper KIND LOCATION NAME HASTE OVERLOOK``; a line of JSON each sweep.

Its clock runs *haste* times as fast as any other, so that the least age of a mark is so much
less. To see that somebody notices it, it can be made to *overlook* a place.
"""

from __future__ import annotations

import json
import sys
import time

from huey_signals_kit.upkeep import MIN_AGE, Sweeper, _live_ids
from tests.support import Place


def overlook(place):
    """Have this process see nothing there."""
    look, add = _live_ids.LiveTaskIds.refresh, _live_ids.LiveTaskIds._add

    def blind(self, passes=2):
        if place == "running":
            self._add = lambda ids: add(self, () if isinstance(ids, set) else ids)
        else:
            setattr(self._store, place, lambda: iter(()))
        look(self, passes)

    _live_ids.LiveTaskIds.refresh = blind


def main():
    *where, haste, place = sys.argv[1:]
    if place:
        overlook(place)
    began = time.time()
    sweeper = Sweeper(Place(*where).open(), lambda: began + (time.time() - began) * float(haste))
    while True:
        report = sweeper.run(MIN_AGE)
        print(json.dumps(vars(report)), flush=True)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
