"""What was counted lately, by minute and by hour, on every storage."""

from __future__ import annotations

import threading
import time

import pytest

from huey_signals_kit import install_handlers
from huey_signals_kit.ledger import HistoryWriter, read_history
from huey_signals_kit.ledger._history import (
    HOURS,
    MAX_NAME,
    MAX_SERIES,
    MINUTES,
    OTHER,
    Grid,
)
from huey_signals_kit.metrics.names import LOCK_REFUSALS, LOCK_SKIPS, SIGNALS_TOTAL, TASK_SECONDS
from huey_signals_kit.metrics.values import Durations
from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.upkeep import forget
from tests.support import kit_data, run_all

DONE = ("signal", "shop.pay", "complete")
REFUSED = ("refusal", "import")
NOON = 1_800_000_000 // 3600 * 3600.0
MINUTE, HOUR = 60, 3600


class Clock:
    """A clock that a test sets."""

    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


def history_of(huey, clock):
    """Return a store, and a writer with this clock."""
    store = open_kit_store(huey, UPKEEP)
    return store, HistoryWriter(lambda: store, clock)


def done(number=1, task="shop.pay"):
    return {(SIGNALS_TOTAL, "q", task, "complete"): number}


def test_counts_of_two_processes_are_added_up_by_minute(any_huey):
    """Each process adds its own counts to the same minute, and later ones to the next."""
    clock = Clock()
    store, first = history_of(any_huey, clock)
    _, second = history_of(any_huey, clock)
    assert first.add(done(2))
    assert second.add({**done(3), (LOCK_REFUSALS, "q", "import"): 4})
    clock.now += MINUTE
    assert first.add({(TASK_SECONDS, "q", "shop.pay"): Durations(2, 1.5)})
    history = read_history(store, clock.now)
    assert history.minutes[DONE][-2:] == [5, 0]
    assert history.minutes[REFUSED][-2:] == [4, 0]
    assert history.minutes["attempt", "shop.pay"][-2:] == [0, 2]
    assert history.minutes["milliseconds", "shop.pay"][-1] == 1500
    assert history.hours[DONE][-1] == 5
    assert all(len(row) == MINUTES for row in history.minutes.values())


def test_what_is_no_part_of_the_history_writes_nothing(any_huey):
    """Skips by task and lock are in the totals only; nothing counted costs no write."""
    store, writer = history_of(any_huey, Clock())
    assert writer.add({(LOCK_SKIPS, "q", "shop.pay", "import"): 1})
    assert writer.add({})
    assert read_history(store, NOON).minutes == {}
    assert not [key for key in kit_data(any_huey) if "history" in key]


def test_a_minute_is_kept_for_three_hours_and_an_hour_for_three_days(any_huey):
    """Every hour of four days is counted once, whether it is still known by minute or not."""
    clock = Clock()
    store, writer = history_of(any_huey, clock)
    for hour in range(96):
        clock.now = NOON + hour * HOUR
        assert writer.add(done(hour + 1))
        clock.now += 59 * MINUTE
        assert writer.add(done(1000))
    history = read_history(store, clock.now)
    assert history.hours[DONE] == [hour + 1001 for hour in range(96 - HOURS, 96)]
    counted = {at: count for at, count in enumerate(history.minutes[DONE]) if count}
    assert counted == {0: 94, 59: 1000, 60: 95, 119: 1000, 120: 96, 179: 1000}
    later = read_history(store, clock.now + 2 * HOUR)
    assert sum(later.minutes[DONE]) == 1096
    assert later.hours[DONE][-3:] == [1096, 0, 0]
    assert read_history(store, clock.now + 96 * HOUR).hours == {}


def test_an_hour_without_counts_stays_empty(any_huey):
    """After a pause of days the key of an hour is used again, and old counts do not appear."""
    clock = Clock()
    store, writer = history_of(any_huey, clock)
    writer.add(done())
    clock.now += 100 * HOUR
    writer.add(done(7))
    history = read_history(store, clock.now)
    assert history.minutes[DONE] == [0] * (MINUTES - 1) + [7]
    assert history.hours[DONE] == [0] * (HOURS - 1) + [7]


def test_an_interrupted_copy_of_an_hour_is_made_again(any_huey):
    """If the process ends between the copy and the new hour, the next copies the same sums."""
    clock = Clock()
    store, writer = history_of(any_huey, clock)
    writer.add(done(5))
    clock.now += 5 * HOUR
    lost = InterruptedStore(store)
    with pytest.raises(ConnectionError):
        HistoryWriter(lambda: lost, clock).add(done(1))
    assert writer.add(done(1))
    assert read_history(store, clock.now).hours[DONE][-6:] == [5, 0, 0, 0, 0, 1]


class InterruptedStore:
    """A store whose connection is lost at the second write."""

    def __init__(self, store):
        self.get, self._store, self._writes = store.get, store, 0

    def _write(self, method, *args):
        self._writes += 1
        if self._writes > 1:
            raise ConnectionError
        return method(*args)

    def put_if_absent(self, *args):
        return self._write(self._store.put_if_absent, *args)

    def compare_and_set(self, *args):
        return self._write(self._store.compare_and_set, *args)


def test_processes_that_write_together_lose_no_count(any_huey):
    """Four threads add to the same minute, and every count is there."""
    clock = Clock()
    store, _ = history_of(any_huey, clock)
    written = []

    def add():
        _, writer = history_of(any_huey, clock)
        written.extend(writer.add(done()) for _ in range(10))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 40
    assert read_history(store, clock.now).minutes[DONE][-1] == written.count(True) >= 37


def test_any_number_of_tasks_takes_a_bounded_number_of_bytes(any_huey):
    """Further series are added up as `other`, names are cut, and no count is lost."""
    clock = Clock()
    store, writer = history_of(any_huey, clock)
    tasks = [f"shop.{'ü' * 200}{number}"[:: 1 if number % 2 else -1] for number in range(1000)]
    counted = {key: 1 for task in tasks for key in done(task=task)}
    for minute in range(60):
        clock.now = NOON + minute * MINUTE
        assert writer.add(counted)
    history = read_history(store, clock.now)
    assert sum(map(sum, history.minutes.values())) == 60_000
    assert history.minutes["signal", OTHER, "complete"][-1] > 0
    assert len(history.minutes) <= MAX_SERIES + 1
    assert all(len(name) <= MAX_NAME for series in history.minutes for name in series)
    sizes = [len(value) for key, value in kit_data(any_huey).items() if "history" in key]
    assert len(sizes) == 1
    assert sizes[0] < 100_000


def test_a_row_is_never_longer_than_its_bound():
    """The largest counts of all kinds of series stay below the bytes that are read."""
    grid = Grid(int(NOON // 60))
    for number in range(MAX_SERIES + 50):
        for minute in range(60):
            grid.add(
                ("signal", f"{number:04}" + "\N{GRINNING FACE}" * 76, "complete"),
                grid.first + minute,
                2**40,
            )
    assert len(grid.dump()) < 600_000


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"[]",
        b"\x80\x05.",
        b"null",
        b'{"version":2,"first":1,"rows":[]}',
        b'{"version":1,"first":-1,"rows":[]}',
        b'{"version":1,"first":true,"rows":[]}',
        b'{"version":1,"first":1e999,"rows":[]}',
        b'{"version":1,"first":30000000,"rows":[[1,[1]]]}',
        b'{"version":1,"first":30000000,"rows":[["signal",[-1]]]}',
        b'{"version":1,"first":30000000,"rows":[["signal",[1.5]]]}',
        b'{"version":1,"first":30000000,"rows":[["signal",' + b"[" * 5000 + b"]" * 5000 + b"]]}",
        b'{"version":1,"first":30000000,"rows":[["signal",[' + b"1," * 60 + b"1]]]}",
        b"[" * 100_000,
    ],
)
def test_a_foreign_value_is_read_as_nothing_and_replaced(any_huey, value):
    """Content that the kit did not write stops neither readers nor writers."""
    clock = Clock(30_000_000 * 60.0)
    store, writer = history_of(any_huey, clock)
    keys = ["huey-signals:history:hours", *(f"huey-signals:history:{n}" for n in range(5))]
    for key in keys:
        store.put_if_absent(key, value)
    assert read_history(store, clock.now).minutes == {}
    assert writer.add(done(2))
    clock.now += 5 * HOUR
    assert writer.add(done(3))
    assert read_history(store, clock.now).hours[DONE][-6:] == [2, 0, 0, 0, 0, 3]


def test_a_wrong_clock_blocks_no_key(any_huey):
    """Counts of a process with a clock in the future are replaced by those of the present."""
    clock = Clock(NOON + 1000 * HOUR)
    store, writer = history_of(any_huey, clock)
    assert writer.add(done(9))
    clock.now = NOON
    assert writer.add(done(1))
    assert read_history(store, clock.now).hours[DONE] == [0] * (HOURS - 1) + [1]


def shared(huey):
    """Skip a storage that only this process sees: there the kit writes nothing."""
    if type(huey.storage).__name__ == "MemoryStorage":
        pytest.skip("no other process sees it")


def test_a_kit_adds_its_counts_when_the_process_ends_or_it_is_uninstalled(any_huey):
    """Tasks that ran are in the history, once."""
    shared(any_huey)

    @any_huey.task()
    def pay():
        return 1

    with install_handlers(any_huey, sinks="memory"):
        pay()
        run_all(any_huey)
    history = read_history(open_kit_store(any_huey, UPKEEP), time.time())
    name = f"{__name__}.pay"
    assert sum(history.minutes["signal", name, "complete"]) == 1
    assert sum(history.minutes["attempt", name]) == 1
    assert any("history" in key for key in kit_data(any_huey))


def test_counts_from_immediate_mode_are_in_no_history(any_huey):
    """Immediate mode writes nothing to a shared storage, and nothing later either."""
    shared(any_huey)

    @any_huey.task()
    def pay():
        return 1

    with install_handlers(any_huey, sinks="memory"):
        any_huey.immediate = True
        pay()
        any_huey.immediate = False
    assert not any("history" in key for key in kit_data(any_huey))


def test_forget_deletes_the_history(any_huey):
    """What the kit has written for pages and terminals goes with everything else."""
    _, writer = history_of(any_huey, Clock())
    writer.add(done())
    assert forget(any_huey).found["counts by minute and hour"] == 1
    assert not any("history" in key for key in kit_data(any_huey))
