"""With ``quiet_logs`` a minute's skips of a lock are one line, and every other line is as ever."""

from __future__ import annotations

import json
import logging
import threading

import pytest
from huey.exceptions import TaskLockedException

from huey_signals_kit import install_handlers, uninstall_handlers
from huey_signals_kit.integrations import quiet_logs
from tests.consumer.app import declare as declare_app
from tests.consumer.harness import running_consumer
from tests.selection import slow_except
from tests.support import hold, run_all

HERE = __name__


def declare(huey):
    """A task for each kind of line, on a Huey whose locks are held."""

    @huey.task()
    def build(lock="report"):
        with huey.lock_task(lock):
            """Never runs."""

    @huey.task()
    def mail():
        with huey.lock_task("report"):
            """Never runs."""

    @huey.task()
    def fails():
        raise ValueError("broken")

    hold(huey, "report")
    return build, mail, fails


def lines(caplog, logger):
    """What *logger* said as warnings and worse; the consumer's own lines are others' work."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == logger and record.levelno >= logging.WARNING
    ]


def kits_records(caplog):
    """The kit's records, in the order of their text."""
    found = (record for record in caplog.records if record.name == "huey_signals_kit")
    return sorted(found, key=lambda record: record.getMessage())


def test_skips_are_summed_up_by_lock(make_huey, caplog):
    """One line when the kit goes, with the tasks, and none of Huey's."""
    huey = make_huey(name="mine")
    install_handlers(huey, quiet_logs=True)
    build, mail, _ = declare(huey)
    for _ in range(3):
        build()
    mail()
    run_all(huey)
    assert kits_records(caplog) == []
    uninstall_handlers(huey)
    assert lines(caplog, "huey") == []
    (record,) = kits_records(caplog)
    tasks = {f"{HERE}.build": 3, f"{HERE}.mail": 1}
    named = ", ".join(f"{task} {count}" for task, count in tasks.items())
    text = f"Lock 'report': 4 tasks skipped in the last {record.huey_seconds} s ({named})"
    assert (record.levelname, record.getMessage()) == ("WARNING", text)
    fields = {name: value for name, value in vars(record).items() if name.startswith("huey_")}
    seconds = fields.pop("huey_seconds")
    assert 0 <= seconds < 60
    assert fields == {
        "huey_queue": "mine",
        "huey_lock": "report",
        "huey_skips": 4,
        "huey_tasks": tasks,
    }


def test_revoked_tasks_are_summed_up_by_task(make_huey, caplog):
    """Each kind of task has a line of its own."""
    huey = make_huey()
    kit = install_handlers(huey, quiet_logs=True)
    build, mail, _ = declare(huey)
    for task in (build, build, mail):
        task().revoke()
    run_all(huey)
    kit.uninstall()
    assert lines(caplog, "huey") == []
    assert [(r.huey_task, r.huey_revoked, r.getMessage()[:20]) for r in kits_records(caplog)] == [
        (f"{HERE}.build", 2, f"Task {HERE}.build: 2"[:20]),
        (f"{HERE}.mail", 1, f"Task {HERE}.mail: 1"[:20]),
    ]


def test_a_minute_is_said_by_the_tick(make_huey, caplog, monkeypatch):
    """No worker has to stop for it, and a minute without skips says nothing."""
    monkeypatch.setattr(quiet_logs, "INTERVAL", 0.05)
    huey = make_huey()
    kit = install_handlers(huey, quiet_logs=True)
    said = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: said.set()
    logging.getLogger("huey_signals_kit").addHandler(handler)
    try:
        build, _, _ = declare(huey)
        for _ in range(2):
            build()
            run_all(huey)
            assert said.wait(20)
            said.clear()
    finally:
        logging.getLogger("huey_signals_kit").removeHandler(handler)
        kit.uninstall()
    assert [record.huey_skips for record in kits_records(caplog)] == [1, 1]
    assert max(record.huey_seconds for record in kits_records(caplog)) < 20


def test_every_other_line_passes(make_huey, caplog):
    """Errors of tasks, the same text from elsewhere, other loggers, things that are no text."""
    huey = make_huey()
    kit = install_handlers(huey, quiet_logs=True)
    result = declare(huey)[2]()
    run_all(huey)

    class Odd:
        def __eq__(self, other):
            raise ValueError("not to be compared")

        def __repr__(self):
            return "odd"

    def from_elsewhere():
        logging.getLogger("huey").warning("Task %s not run, %s.", 1, "because")
        logging.getLogger("huey").warning(Odd())

    thread = threading.Thread(target=from_elsewhere)
    thread.start()
    thread.join()
    logging.getLogger("huey.consumer").warning("Task %s not run, %s.", 2, "because")
    kit.uninstall()
    assert lines(caplog, "huey") == [
        f"Unhandled exception in task {result.id}.",
        "Task 1 not run, because.",
        "odd",
    ]
    assert lines(caplog, "huey.consumer") == ["Task 2 not run, because."]


def test_only_the_lines_of_its_own_huey_are_taken(make_huey, caplog):
    """Another Huey in the same process logs as ever, also from inside a task of this one."""
    quiet, other = make_huey(name="quiet"), make_huey(name="other")
    kit = install_handlers(quiet, quiet_logs=True)
    locked = declare(other)[0]
    first = locked()
    run_all(other)

    @quiet.task()
    def runs_another():
        run_all(other)

    second = locked()
    runs_another()
    run_all(quiet)
    kit.uninstall()
    text = "Task {} not run, unable to acquire lock report."
    assert lines(caplog, "huey") == [text.format(each.id) for each in (first, second)]
    assert kits_records(caplog) == []


def test_two_quiet_hueys_say_their_own(make_huey, caplog):
    """Each with the name of its queue."""
    kits = []
    for name in ("a", "b"):
        huey = make_huey(name=name)
        kits.append(install_handlers(huey, quiet_logs=True))
        declare(huey)[0]()
        run_all(huey)
    for kit in kits:
        kit.uninstall()
    assert lines(caplog, "huey") == []
    assert [record.huey_queue for record in kits_records(caplog)] == ["a", "b"]


def test_without_it_huey_logs_as_ever(make_huey, caplog):
    """By default, and again when the kit is gone; no filter is left on the logger."""
    before = list(logging.getLogger("huey").filters)
    huey = make_huey()
    build, _, _ = declare(huey)
    for quiet, heard in ((False, 1), (True, 1), (True, 1)):
        install_handlers(huey, quiet_logs=quiet, replace=True)
        install_handlers(huey, quiet_logs=quiet)
        build()
        run_all(huey)
        assert len(lines(caplog, "huey")) == heard
    uninstall_handlers(huey)
    assert logging.getLogger("huey").filters == before
    build()
    run_all(huey)
    assert len(lines(caplog, "huey")) == 2


def test_endless_lock_names_are_one_line(make_huey, caplog):
    """They are folded as they are when counted."""
    huey = make_huey()
    kit = install_handlers(huey, quiet_logs=True)
    build, _, _ = declare(huey)
    for n in range(50):
        hold(huey, f"media:{n}")
        build(f"media:{n}")
    run_all(huey)
    kit.uninstall()
    assert [(r.huey_lock, r.huey_skips) for r in kits_records(caplog)] == [("media:*", 50)]


def test_a_lock_without_a_name_and_many_tasks(make_huey, caplog):
    """Five tasks are named, the others counted."""
    huey = make_huey()
    kit = install_handlers(huey, quiet_logs=True)

    def nameless():
        raise TaskLockedException("busy")

    for n in range(8):
        huey.task(name=f"task{n}")(nameless)()
    run_all(huey)
    kit.uninstall()
    (record,) = kits_records(caplog)
    assert record.getMessage().startswith("A lock without a name: 8 tasks skipped")
    assert record.getMessage().endswith("3 other tasks)")
    assert record.huey_lock == ""
    json.dumps(record.huey_tasks)


@pytest.mark.parametrize("worker", slow_except(["process"], ["thread", "process", "greenlet"]))
def test_a_worker_that_stops_says_what_it_has(make_place, make_huey, tmp_path, worker):
    """All skips are in the summaries of the consumer's processes, and no line of Huey's."""
    place = make_place("sqlite")
    huey = make_huey("sqlite", place.name)
    tasks = declare_app(huey)
    hold(huey, "held")
    for n in range(20):
        tasks.guarded(n)
    log = tmp_path / "consumer.log"
    with running_consumer(
        place, log, worker=worker, workers=2, install={"quiet_logs": True}
    ) as consumer:
        consumer.wait_until(lambda: not huey.pending_count(), "20 tasks to be taken")
    text = log.read_text()
    assert "not run, unable" not in text
    said = [line for line in text.splitlines() if "Lock 'held': " in line]
    assert sum(int(line.split("Lock 'held': ")[1].split()[0]) for line in said) == 20
