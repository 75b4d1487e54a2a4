"""A store in which every key, id, name and value was written by an attacker."""

from __future__ import annotations

import pickle
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from huey.utils import Error

from huey_signals_kit import install_handlers, uninstall_handlers
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, HistoryWriter, open_ledger
from huey_signals_kit.metrics.names import LOCK_REFUSALS, LOCK_SKIPS, SIGNALS_TOTAL
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.store import UPKEEP, open_kit_store
from tests.support import hold

NAMES = (
    "<script>window.hacked=1</script>",
    "\"'><img src=x onerror=window.hacked=1>",
    "'-window.hacked=1-'",
    "</title></h1></main><svg onload=window.hacked=1>",
    "javascript:window.hacked=1",
    "\x1b[2J\x1b[31m\x07\x9b1mred",
    "\u202egnp.exe\u2066\u200b",
    "{{7*7}}{% raw %}{#",
    "../../act/purge?x=1&y=2#z",
    "a\r\nSet-Cookie: hacked=1",
    "&lt;script&gt;%3Cscript%3E+",
)
BIG = "<b>big" * 170_000
"""A name of a megabyte; some storages refuse such a key."""


class Bomb:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return open, (str(self._path), "w")


def fill(huey: Any, trap: Path, *, is_big: bool = True) -> None:
    """Write hostile names and values everywhere.

    Args:
        huey: The Huey, without a kit.
        trap: A file that exists afterwards if anything was unpickled.
        is_big: Whether one of the names has a megabyte, which costs seconds of processor time.
    """
    for number, name in enumerate(NAMES):
        _write(huey, name, number)
    with suppress(Exception):  # such as the largest key of Postgres
        _write(huey, BIG if is_big else BIG[:100_000], len(NAMES))
    bomb = pickle.dumps(Bomb(trap))
    for key in ("bomb", "r:bomb", "rt:bomb", f"{huey.name}.lock.bomb", "djt.bomb", "rt:shop.bomb"):
        huey.storage.put_data(key, bomb)
    huey.storage.enqueue(bomb)
    _write_ledger(huey)


def _write(huey: Any, name: str, number: int) -> None:
    hold(huey, name)
    error = {"error": f"{name}({name!r})", "traceback": name, "task_id": name, "retries": 0}
    huey.put_result(f"{number}{name}", Error(error))
    huey.revoke_by_id(name)
    huey.put(f"rt:{name}", (None, False))
    task = huey.task(name=f"shop.{name}")(lambda *_, **__: None)
    task(name, key=name)
    with install_handlers(huey, preset="observe"):
        with huey.lock_task(f"held-{name}"):
            pass
        lock = huey.lock_task(f"{name}-held")

        def holding() -> None:
            lock.__enter__()

        huey.task(name=f"holds.{name}")(holding)()
        messages = []
        while (message := huey.dequeue()) is not None:
            messages.append(message)
        huey.execute(messages.pop())
        for message in messages:
            huey.enqueue(message)
    uninstall_handlers(huey)


def _write_ledger(huey: Any) -> None:
    own, now = this_process(), time.time()
    ledger = open_ledger(huey)
    for number, name in enumerate(NAMES):
        counts = {
            (SIGNALS_TOTAL, huey.name, name, "complete"): 3,
            (SIGNALS_TOTAL, huey.name, name, name): 3,
            (LOCK_SKIPS, huey.name, name, name): 2,
            (LOCK_REFUSALS, huey.name, name): 2,
        }
        record = Heartbeat(
            id=f"{number:032x}",
            process=replace(own, host=name, pid=1000 + number),
            worker=name,
            started=now,
            running=(RunningTask(name, name, now, (name,)),),
            locks=(name,),
            counters=counts,
        )
        ledger.write(record)
        HistoryWriter(lambda: open_kit_store(huey, UPKEEP)).add(counts)
