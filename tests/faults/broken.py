"""Ways to break the kit on purpose, to see that the fault run notices each of them.

``python -m tests.faults --broken NAME FAULT...``; every consumer and command is broken so.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any


def dead(huey: Any) -> None:
    """Take every holder for dead."""
    from huey_signals_kit.upkeep import LockInspector
    from huey_signals_kit.upkeep.locks import inspection

    verdict = inspection._HolderStatus(alive=False, is_unclaimed=False, is_settled=True)
    LockInspector._holder_status = lambda self, name, raw, holder, look: verdict


def silent(huey: Any) -> None:
    """Free the lock of a random holder from time to time, and tell nothing about it."""

    def free():
        while True:
            time.sleep(random.uniform(5, 15))
            names = [key for key in huey.storage.result_items() if b".lock." in _bytes(key)]
            if names:
                huey.storage.delete_data(random.choice(names))

    threading.Thread(target=free, daemon=True).start()


def never(huey: Any) -> None:
    """Free no stale lock."""
    from huey_signals_kit.upkeep import LockInspector
    from huey_signals_kit.upkeep.locks import inspection

    verdict = inspection._HolderStatus(alive=None, is_unclaimed=False, is_settled=True)
    LockInspector._holder_status = lambda self, name, raw, holder, look: verdict


def _bytes(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else key


WAYS: dict[str, Callable[[Any], None]] = {each.__name__: each for each in (dead, silent, never)}
