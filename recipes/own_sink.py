"""Your own sink.

Problem: the counts should go to a system that the kit does not support.

Trade-off: the kit calls the sink on a thread of its own, every ``interval`` seconds and when the
process ends. If the process is killed, the counts since the last call are lost.
"""

from __future__ import annotations

from huey import MemoryHuey

from huey_signals_kit import install_handlers
from huey_signals_kit.sinks import Sample


class Collector:
    """A sink that prints the counts, and that cannot be reached at the first call."""

    interval = 0.1

    def __init__(self) -> None:
        self._away = True

    def send(self, changes: list[Sample]) -> bool:
        """Print the changes. After False or an exception, the kit sends them again."""
        if self._away:
            self._away = False
            print("the collector is away")
            return False
        for each in sorted(changes, key=lambda each: sorted(each.labels.items())):
            if each.labels.get("signal") in ("complete", "locked"):
                print(each.metric, each.labels["signal"] + ":", each.value)
        return True


huey = MemoryHuey("shop")


@huey.task()
def add(a: int, b: int) -> int:
    return a + b


@huey.task()
@huey.lock_task("report")
def report() -> None:
    """Make the report; skipped here, because the lock is held."""


def main() -> None:
    """Run three tasks and skip two."""
    for n in range(3):
        add(n, n)
    report()
    report()
    with install_handlers(huey, sinks=Collector()) as kit, huey.lock_task("report"):
        while (task := huey.dequeue()) is not None:  # what a worker of huey_consumer does
            huey.execute(task)
        kit.flush()


if __name__ == "__main__":
    main()
