"""Ways to break the kit on purpose, to see that the fault run notices each of them.

``python -m tests.faults --broken NAME FAULT...``; every consumer and command is broken so.

=============  ===========================================================================
dead, silent   two tasks are inside of one lock, or its lock left a living holder
never          a dead holder's lock is not freed
loses          a result or a real error is missing
stores         a lock error is stored
hasty          a live token is gone, and its revoked task runs
generous       more is counted than happened
stuck          a consumer runs no task after the fault (this takes three minutes)
leaks          a consumer grows (it takes several faults, until one was watched for 100 s)
=============  ===========================================================================
"""

from __future__ import annotations

import os
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


def loses(huey: Any) -> None:
    """Store every tenth result not at all, and every tenth error."""
    from huey_signals_kit.gate import Gate

    wrap = Gate._wrap_put

    def wrap_put(self, original):
        put = wrap(self, original)
        return lambda key, data: random.random() < 0.1 or put(key, data)

    Gate._wrap_put = wrap_put


def stores(huey: Any) -> None:
    """Store the lock errors, as Huey does."""
    from huey_signals_kit.gate import Gate

    Gate._apply = lambda self, decision, key, error, put_error: huey.storage.put_data(
        key, huey.serializer.serialize(error)
    )


def hasty(huey: Any) -> None:
    """Delete the tokens of tasks that are still waiting."""

    def delete():
        while True:
            time.sleep(1)
            for key in map(_text, [*huey.storage.result_items()]):
                if key.startswith("r:"):
                    huey.storage.delete_data(key)

    threading.Thread(target=delete, daemon=True).start()


def generous(huey: Any) -> None:
    """Count everything twice."""
    from huey_signals_kit.metrics.counter import MetricCounter

    aggregate = MetricCounter._aggregate

    def aggregate_twice(self):
        self.pending.extend(list(self.pending))
        return aggregate(self)

    MetricCounter._aggregate = aggregate_twice


def stuck(huey: Any) -> None:
    """Have every worker wait for ever, from 15 seconds after the start."""
    from huey_signals_kit.dispatch.receiver import Receiver

    begun, receive = time.monotonic(), Receiver._receive

    def wait(self, *arguments, **options):
        while time.monotonic() > begun + 15:
            time.sleep(1)
        return receive(self, *arguments, **options)

    Receiver._receive = wait


def leaks(huey: Any) -> None:
    """Keep a descriptor, a thread and some memory every few seconds."""
    kept = []

    def leak():
        while True:
            time.sleep(4)
            kept.append((os.open("/dev/null", os.O_RDONLY), bytearray(2**20)))
            threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()

    threading.Thread(target=leak, daemon=True).start()


def _text(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode()


def _bytes(key: str | bytes) -> bytes:
    return key.encode() if isinstance(key, str) else key


_ALL = (dead, silent, never, loses, stores, hasty, generous, stuck, leaks)
WAYS: dict[str, Callable[[Any], None]] = {each.__name__: each for each in _ALL}
