"""A worker is killed while it holds a lock.

Problem: the lock stays in the store, its task never runs again, and the holder is not known.

Trade-off: by default a consumer only reports such locks. With ``stale_locks="release"`` it also
releases them, once the holder's process is known to be dead. The next run then repeats work that
was interrupted halfway, so the work must tolerate this. From a shell, use ``huey-signals locks``
and ``huey-signals locks release``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from huey import SqliteHuey

from huey_signals_kit import install_handlers

FOLDER = tempfile.gettempdir()
huey = SqliteHuey("shop", filename=os.environ.get("SHOP_DB", f"{FOLDER}/shop-{os.getpid()}.db"))
kit = install_handlers(huey)


@huey.task()
@huey.lock_task("report")
def report(seconds: int) -> str:
    """Work for a long time; its worker is killed meanwhile."""
    print("running", flush=True)
    time.sleep(seconds)
    return "done"


def work() -> None:
    """Execute one task, as a worker of huey_consumer does."""
    huey.execute(huey.dequeue())


def main() -> None:
    """Kill a worker, list the locks that it left, and release them."""
    report(60)
    here = {**os.environ, "SHOP_DB": huey.storage.filename}
    worker = subprocess.Popen([sys.executable, __file__, "work"], env=here, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    worker.stdout.readline()
    worker.kill()
    worker.communicate()

    for lock in kit.locks():
        print(f"{lock.name}: held by {lock.task_name}, alive: {lock.alive}")
        print("whose process is", "the worker's" if lock.pid == worker.pid else "another")
    print("released:", [lock.name for lock in kit.release_stale_locks()])
    result = report(0)
    work()
    print("the next one is", result())
    os.remove(huey.storage.filename)


if __name__ == "__main__":
    work() if sys.argv[1:] == ["work"] else main()
