"""Frees the stale locks of one queue again and again, in a process of its own, until it is killed.

``python -m tests.faults.lock_releaser KIND LOCATION NAME WRONG``; a line for each lock it frees.

To see that somebody notices it, it can be made to do it *wrong*: to take every holder for dead
(``living``), or to free a lock a moment later, whoever has it by then (``later``).
"""

from __future__ import annotations

import random
import sys
import time

from huey_signals_kit.upkeep import LockHeld, LockInspector, release_lock, release_stale
from huey_signals_kit.upkeep.locks import inspection, release
from tests.support import Place


def do_it(wrong):
    """Have this process do it so."""
    if wrong == "living":
        dead = inspection._HolderStatus(alive=False, is_unclaimed=False, is_settled=True)
        LockInspector._holder_status = lambda self, name, raw, holder, look: dead
    elif wrong == "later":

        def release_later(huey, lock):
            time.sleep(random.choice([0, 0.5]))
            return bool(huey.lock_task(lock.name).clear())

        release.release_unchanged = release_later


def main():
    *where, wrong = sys.argv[1:]
    do_it(wrong)
    huey = Place(*where).open()
    watch = LockInspector(huey)
    while True:
        for lock in release_stale(huey, inspector=watch).released:
            print(lock.name, "stale", flush=True)
        for lock in watch.all():
            try:
                if release_lock(huey, lock.name, watch):
                    print(lock.name, "by name", flush=True)
            except LockHeld:
                pass
        time.sleep(0.01)


if __name__ == "__main__":
    main()
