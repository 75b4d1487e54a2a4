"""The gauges of `huey-signals export`: each shows what there is, and is there before it is."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("prometheus_client", exc_type=ImportError)

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from huey_signals_kit import install_handlers
from huey_signals_kit.cli._export import collector
from huey_signals_kit.cli._export.backlog import MAX_NOTED, Backlog
from huey_signals_kit.cli._export.collector import QueueCollector
from huey_signals_kit.cli._export.state import heartbeat_age
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, Ledger, Snapshot, open_backend, open_ledger
from huey_signals_kit.metrics.gauges import GAUGE_LABELS, STATES, TOKEN_STATES, WORKERS
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.upkeep import sweep_tokens
from tests.locks import ELSEWHERE, GONE, taken_by
from tests.support import HAS_ENQUEUED, hold, put_kit_data, run_all


@pytest.fixture(autouse=True)
def _wait_for_each_report(monkeypatch):
    """A scrape waits for its report, however busy the machine is."""
    monkeypatch.setattr(collector, "SCRAPE_SECONDS", 60.0)


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Export:
    """The collector of one Huey, and its samples by name and further labels."""

    def __init__(self, huey, interval=0.0, **options):
        self.missing = []
        registry = CollectorRegistry()
        self.collector = QueueCollector(huey, interval, self._on_read, **options)
        registry.register(self.collector)
        self._generate = lambda: generate_latest(registry).decode()

    def _on_read(self, exc, missing):
        self.missing.append(missing)

    def __call__(self):
        """{name or (name, labels): value} of one scrape."""
        found = {}
        for family in text_string_to_metric_families(self._generate()):
            for each in family.samples:
                labels = [value for name, value in each.labels.items() if name != "queue"]
                found[(each.name, *labels) if labels else each.name] = each.value
        return found


def beat(huey, process="one", place=None, sequence=1, **fields):
    """A record of a process."""
    record = Heartbeat(process, place or this_process(), started=5.0, sequence=sequence, **fields)
    open_ledger(huey).write(record)


def later(seconds):
    return datetime.now() + timedelta(seconds=seconds)


def test_every_gauge_is_there_on_an_empty_queue(any_huey):
    """On every storage, with all labels of a fixed set, at zero."""
    found = Export(any_huey)()
    names = {name if isinstance(name, str) else name[0] for name in found}
    assert GAUGE_LABELS.keys() <= names
    states = [(worker, state) for worker in WORKERS for state in STATES]
    assert {found["huey_processes", state, worker] for worker, state in states} == {0}
    assert {found["huey_tokens", state] for state in TOKEN_STATES} == {0}
    kind = type(any_huey.storage).__name__
    assert [each for each in found if each[0] == "huey_signals_info" and kind in each]
    zero = names - {"huey_up", "huey_signals_info", "huey_store_keys", "huey_store_bytes"}
    zero -= {"huey_report_seconds", "huey_report_timestamp_seconds", "huey_processes"}
    assert {found[name] for name in zero & GAUGE_LABELS.keys() & found.keys()} == {0}


def test_processes_by_worker_and_state(make_huey):
    """The dead one of this host, the living one, and one elsewhere that nothing is known of."""
    huey = make_huey("sqlite")
    beat(huey, "alive", worker="thread", sequence=3)
    beat(huey, "dead", GONE, worker="process")
    beat(huey, "far", ELSEWHERE, worker="scheduler")
    beat(huey, "new kind", replace(ELSEWHERE, pid=1), worker="async")
    beat(huey, "ended application", replace(GONE, pid=GONE.pid + 1))
    found = Export(huey)()
    counts = {each[1:]: value for each, value in found.items() if each[0] == "huey_processes"}
    assert {each: value for each, value in counts.items() if value} == {
        ("alive", "thread"): 1,
        ("dead", "process"): 1,
        ("unknown", "scheduler"): 1,
        ("unknown", "other"): 1,
    }


def test_the_age_of_a_heartbeat_is_measured_by_the_exporter(make_huey):
    """Not by the clock of the other host; it starts again with each change of the record."""
    huey = make_huey("sqlite")
    ledger = Ledger(lambda: open_backend(huey), huey, clock := Clock())
    beat(huey, "far", ELSEWHERE, worker="thread")
    beat(huey, "holder", replace(ELSEWHERE, pid=5), locks=("held",))
    assert heartbeat_age(ledger.snapshot()) == 0
    clock.now = 7
    assert heartbeat_age(ledger.snapshot()) == 7
    beat(huey, "far", ELSEWHERE, 2, worker="thread")
    ledger.snapshot()
    clock.now = 10
    assert heartbeat_age(ledger.snapshot()) == 10
    beat(huey, "holder", replace(ELSEWHERE, pid=5), 2, locks=("held",))
    assert heartbeat_age(ledger.snapshot()) == 3


def test_an_exporter_that_has_just_started_believes_other_observers(make_huey):
    """A consumer has watched the silence for longer."""
    huey = make_huey("sqlite")
    ledger = Ledger(lambda: open_backend(huey), huey)
    beat(huey, "far", ELSEWHERE, worker="thread")
    (process,) = ledger.snapshot().processes
    snapshot = Snapshot([replace(process, silent=70.0)])
    assert heartbeat_age(snapshot) == 70


def test_a_dead_process_has_no_age(make_huey):
    """Nor does an application that writes only what has changed."""
    huey = make_huey("sqlite")
    beat(huey, "dead", GONE, worker="thread")
    beat(huey, "application", ELSEWHERE)
    ledger = Ledger(lambda: open_backend(huey), huey, clock := Clock())
    ledger.snapshot()
    clock.now = 50
    snapshot = ledger.snapshot()
    assert [process.unchanged for process in snapshot.processes] == [50, 50]
    assert heartbeat_age(snapshot) == 0


def test_running_tasks_and_the_age_of_the_oldest(make_huey):
    """Of processes that are not known to be dead."""
    huey, now = make_huey("sqlite"), time.time()
    beat(huey, "one", worker="thread", running=(RunningTask("a", "shop.job", now - 100),))
    beat(huey, "two", ELSEWHERE, worker="thread", running=(RunningTask("b", "shop.job", now - 40),))
    beat(huey, "dead", GONE, worker="thread", running=(RunningTask("c", "shop.job", now - 900),))
    found = Export(huey)()
    assert found["huey_running_tasks"] == 2
    assert found["huey_oldest_running_task_age_seconds"] == pytest.approx(100, abs=5)


def test_two_schedulers_of_one_periodic_task(make_huey):
    """Only processes that are known to be alive count, and only for a task that they share."""
    huey = make_huey("sqlite")
    beat(huey, "one", worker="thread", periodic=("shop.hourly", "shop.nightly"))
    beat(huey, "far", ELSEWHERE, worker="thread", periodic=("shop.nightly",))
    beat(huey, "dead", GONE, worker="thread", periodic=("shop.nightly",))
    export = Export(huey)
    assert export()["huey_periodic_schedulers"] == 1
    beat(huey, "far", ELSEWHERE, 2, worker="thread", periodic=("shop.nightly",))
    assert export()["huey_periodic_schedulers"] == 2
    beat(huey, "far", ELSEWHERE, 3, worker="thread", periodic=("shop.other",))
    assert export()["huey_periodic_schedulers"] == 1


@pytest.mark.parametrize("utc", [True, False])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_an_overdue_message_of_the_schedule(make_huey, monkeypatch, utc, zone):
    """Whether Huey stores times in UTC or in local time."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    huey = make_huey("sqlite", utc=utc)
    job, now = huey.task()(lambda: None), datetime.now(timezone.utc)
    export = Export(huey, 600)
    huey.add_schedule(job.s(eta=now + timedelta(hours=2)))
    assert export()["huey_schedule_overdue_seconds"] == 0
    huey.add_schedule(job.s(eta=now - timedelta(seconds=90)))
    assert export()["huey_schedule_overdue_seconds"] == pytest.approx(90, abs=10)
    assert export()["huey_schedule_length"] == 2
    monkeypatch.undo()
    time.tzset()


def test_an_overdue_message_on_every_storage(any_huey):
    """The one that is due first, not the one that was added first."""
    job = any_huey.task()(lambda: None)
    for delay in (-10, -300, 500):
        any_huey.add_schedule(job.s(eta=later(delay)))
    found = Export(any_huey)()
    assert found["huey_schedule_overdue_seconds"] == pytest.approx(300, abs=10)
    assert found["huey_schedule_length"] == 3


def test_a_schedule_that_cannot_be_read_has_no_overdue_message(make_huey):
    """Zero would say that none is."""
    huey = make_huey("memory")
    huey.storage.add_to_schedule(b"junk", later(-50), *([] if HAS_ENQUEUED else [True]))
    found = Export(huey)()
    assert found["huey_schedule_length"] == 1
    assert "huey_schedule_overdue_seconds" not in found


def ages_of(backlog, clock, *steps):
    """Return the ages at some times, each with the messages in the queue."""
    ages = []
    for at, queue in steps:
        clock.now = at
        ages.append(backlog.observe([queue[0], queue[-1]] if queue else []))
    return ages


def test_the_age_of_a_message_is_the_time_since_it_was_first_seen():
    """At either end of the queue: the last one in line has its age when it is the next."""
    backlog = Backlog(clock := Clock())
    a, b, c, d = b"abcd"[:1], b"b", b"c", b"d"
    steps = [(0, [a]), (10, [a, b, c]), (25, [b, c]), (40, [c, d]), (60, [d]), (70, [])]
    assert ages_of(backlog, clock, *steps) == [0, 10, 15, 30, 20, 0]


def test_a_report_finds_messages_in_the_middle_of_a_queue_that_moves():
    """Where another message is next each time, and the last one is another, too."""
    backlog = Backlog(clock := Clock())
    assert ages_of(backlog, clock, (0, [b"a", b"b"]), (30, [b"x", b"y"])) == [0, 0]
    clock.now = 50
    backlog.start_report()
    assert ages_of(backlog, clock, (55, [b"v", b"late"])) == [0]
    backlog.found([b"n", b"y"])
    backlog.found([b"m", b"b"])
    backlog.end_report()
    assert ages_of(backlog, clock, (60, [b"z", b"w"])) == [50]
    backlog.start_report()
    backlog.found([b"y", b"late", b"z", b"w"])
    backlog.end_report()
    assert ages_of(backlog, clock, (70, [b"q", b"late"]), (80, []), (90, [b"b"])) == [30, 0, 0]


def test_a_message_that_is_put_back_does_not_age():
    """A message behind it has left the queue, so it has left the queue as well."""
    backlog = Backlog(clock := Clock())
    assert ages_of(backlog, clock, (0, [b"poll", b"a"]), (30, [b"c", b"d"])) == [0, 0]
    clock.now = 60
    backlog.start_report()
    backlog.found([b"d", b"poll", b"e"])  # not "a", which was behind it
    backlog.end_report()
    steps = [(60, [b"x", b"e"]), (70, [b"poll", b"e"]), (90, [b"poll", b"f"])]
    assert ages_of(backlog, clock, *steps) == [30, 30, 30]
    clock.now = 100
    backlog.start_report()
    backlog.found([b"poll", b"g"])  # not "f"
    backlog.end_report()
    assert ages_of(backlog, clock, (101, [b"poll", b"g"])) == [0]


def test_a_message_that_is_the_last_one_again_was_put_back():
    """Between two reports, too; the last one that stays the last one waits."""
    backlog = Backlog(clock := Clock())
    steps = [(0, [b"a", b"poll"]), (20, [b"poll", b"b"]), (50, [b"b", b"poll"])]
    assert ages_of(backlog, clock, *steps) == [0, 20, 30]
    assert ages_of(backlog, clock, (60, [b"poll"]), (90, [b"poll"])) == [10, 40]


def test_a_last_message_whose_note_was_dropped_is_noted_again():
    """A report did not find it, for example because it left the queue and was put back."""
    backlog = Backlog(clock := Clock())
    ages_of(backlog, clock, (0, [b"a", b"poll"]))
    clock.now = 10
    backlog.start_report()
    backlog.end_report()
    assert ages_of(backlog, clock, (20, [b"b", b"poll"]), (30, [b"poll"])) == [0, 10]


def test_an_unimportant_message_ages_although_others_pass_it(make_huey):
    """On a storage with priorities it stays the last one, and a report finds it."""
    huey = make_huey("sqlite")
    job = huey.task()(lambda n: None)
    export = Export(huey)
    export.collector._backlog = Backlog(clock := Clock())
    job(0)
    for number in range(1, 5):
        urgent = job.s(number)
        urgent.priority = 10
        huey.enqueue(urgent)
        clock.now = 50 * number
        assert export()["huey_oldest_message_age_seconds"] == 50 * (number - 1)
        assert huey.dequeue().id == urgent.id


def test_the_noted_messages_are_bounded():
    """The oldest stays, and so does the age."""
    backlog = Backlog(clock := Clock())
    for number in range(5 * MAX_NOTED):
        ages_of(backlog, clock, (number, [b"first", b"%d" % number]))
        assert len(backlog._first_seen) <= MAX_NOTED + 1
    assert ages_of(backlog, clock, (9999, [b"first", b"%d" % number])) == [9999]


def test_the_age_of_the_oldest_message_on_every_storage(any_huey):
    """It grows while the message waits, and is zero when it is taken."""
    job = any_huey.task()(lambda: None)
    export = Export(any_huey)
    export.collector._backlog = Backlog(clock := Clock())
    job(), job(), job()
    assert export()["huey_oldest_message_age_seconds"] == 0
    clock.now = 50
    found = export()
    assert (found["huey_queue_length"], found["huey_oldest_message_age_seconds"]) == (3, 50)
    run_all(any_huey)
    found = export()
    assert (found["huey_queue_length"], found["huey_oldest_message_age_seconds"]) == (0, 0)


def test_one_scrape_alone_has_no_ages_that_compare_scrapes(make_huey):
    """Zero would be wrong; all the rest is there."""
    export = Export(make_huey("memory"), has_history=False)
    names = {name if isinstance(name, str) else name[0] for name in export()}
    assert GAUGE_LABELS.keys() - names == {
        "huey_heartbeat_age_seconds",
        "huey_oldest_message_age_seconds",
    }


def test_locks_and_their_ages(make_huey):
    """Of those whose holder is known, by its clock; a bare one counts, but has no age."""
    huey = make_huey("sqlite")
    taken_by(huey, "dead", GONE)
    export = Export(huey, 600)
    age = export()["huey_oldest_stale_lock_age_seconds"]
    assert 0 < age < 60
    hold(huey, "bare")
    taken_by(huey, "elsewhere", ELSEWHERE)
    beat(huey, "far", ELSEWHERE, worker="thread", locks=("elsewhere",))
    found = export()
    assert (found["huey_locks_held"], found["huey_locks_stale"]) == (2, 1)  # not the bare one yet
    assert found["huey_oldest_lock_age_seconds"] >= age
    found = Export(huey)()
    assert (found["huey_locks_held"], found["huey_locks_stale"]) == (3, 1)


def test_a_released_lock_is_gone_at_the_next_scrape(any_huey):
    """Without another report on the store."""
    taken_by(any_huey, "dead", GONE)
    export = Export(any_huey, 600)
    assert export()["huey_locks_stale"] == 1
    any_huey.lock_task("dead").clear()
    found = export()
    assert (found["huey_locks_held"], found["huey_locks_stale"]) == (0, 0)
    assert found["huey_oldest_stale_lock_age_seconds"] == 0


def test_more_locks_than_are_read_each_time_are_as_of_the_report(make_huey, monkeypatch):
    """The number stays exact."""
    monkeypatch.setattr("huey_signals_kit.cli._export.scrape_locks.MAX_LOCKS", 2)
    huey = make_huey("sqlite")
    for name in ("one", "two", "three"):
        taken_by(huey, name, GONE)
    export = Export(huey, 600)
    export()
    huey.lock_task("one").clear()
    assert export()["huey_locks_stale"] == 3


def test_tokens_by_state_and_the_last_sweep(any_huey):
    """The sweep marks the orphaned one and leaves its time."""
    any_huey.revoke_by_id("custom")
    any_huey.revoke_by_id("5d3e3b0e-3c4e-4a0e-8f6e-0123456789ab")
    waiting = any_huey.task()(lambda: None)()
    any_huey.revoke_by_id(waiting.id)
    sweep_tokens(any_huey, dry_run=True)
    assert Export(any_huey)()["huey_last_sweep_timestamp_seconds"] == 0
    sweep_tokens(any_huey, clock=lambda: 1_700_000_000.25)
    found = Export(any_huey)()
    assert {state: found["huey_tokens", state] for state in TOKEN_STATES} == {
        "live": 1,
        "orphaned": 1,
        "custom": 1,
    }
    assert found["huey_tokens_marked"] == 1
    assert found["huey_last_sweep_timestamp_seconds"] == 1_700_000_000.25


@pytest.mark.parametrize("stored", [b"junk", b"nan", b""])
def test_a_time_of_a_sweep_that_cannot_be_read_is_none(make_huey, stored):
    """As if there were none."""
    huey = make_huey("sqlite")
    put_kit_data(huey, "swept", stored)
    assert Export(huey)()["huey_last_sweep_timestamp_seconds"] == 0


def test_a_queue_that_cannot_be_read_leaves_the_rest(make_huey, monkeypatch):
    """Counters, processes and the gauges of the store are served, and it is said."""
    huey = make_huey("sqlite")

    def fails(*_):
        raise OSError("no queue")

    monkeypatch.setattr(huey.storage, "queue_size", fails)
    beat(huey, "one", worker="thread", counters={("huey_lock_skips_total", "q", "t", "l"): 3})
    export = Export(huey)
    found = export()
    assert (found["huey_up"], found["huey_processes", "alive", "thread"]) == (1, 1)
    assert found["huey_lock_skips_total", "l", "t"] == 3
    assert "huey_queue_length" not in found
    assert "huey_locks_held" not in found
    assert found["huey_store_keys", "lock"] == 0
    assert export.missing == ["serving no gauges of the queue and the locks"]


def counters_of(export, name):
    """{label: value} of the counters of one name with one further label."""
    return {found[1]: value for found, value in export().items() if found[0] == name}


def test_series_are_served_at_zero_before_they_are_counted(make_huey):
    """Those of the kit in the process of `export`, and of the locks that other processes use."""
    huey = make_huey("sqlite")
    huey.task(name="pay")(lambda: None)
    huey.lock_task("import")
    beat(
        huey, locks=("held:7",), counters={("huey_lock_skips_total", huey.name, "t", "counted"): 3}
    )
    export = Export(huey)
    assert counters_of(export, "huey_locks_lost_total") == {}
    with install_handlers(huey, sinks="memory") as kit:
        kit.on("complete", name="slow", background=True)(lambda event: None)
        locks = {"import": 0, "held:*": 0, "counted": 0}
        assert counters_of(export, "huey_locks_lost_total") == locks
        assert counters_of(export, "huey_handler_errors_total")["slow"] == 0
        assert counters_of(export, "huey_events_dropped_total") == {"slow": 0}
        assert export()["huey_signals_total", "error", f"{__name__}.pay"] == 0
        beat(huey, sequence=2, counters={("huey_locks_lost_total", huey.name, "held:*"): 1})
        assert counters_of(export, "huey_locks_lost_total") == {**locks, "held:*": 1}


def test_a_kit_without_sinks_has_no_series_of_signals(make_huey):
    """Its processes do not count signals, so zero would be wrong."""
    huey = make_huey("sqlite")
    huey.task(name="pay")(lambda: None)
    with install_handlers(huey):
        found = Export(huey)()
    assert found["huey_results_suppressed_total", f"{__name__}.pay", "drop"] == 0
    assert not [each for each in found if each[0] == "huey_signals_total"]


def test_without_counters_only_gauges_are_served(make_huey):
    """So that the sum over an exporter and the consumers is not twice what was counted."""
    huey = make_huey("sqlite")
    beat(huey, counters={("huey_lock_skips_total", "q", "t", "l"): 3})
    names = {name if isinstance(name, str) else name[0] for name in Export(huey)()}
    assert "huey_lock_skips_total" in names
    names = {
        name if isinstance(name, str) else name[0] for name in Export(huey, has_counters=False)()
    }
    assert names == GAUGE_LABELS.keys()
