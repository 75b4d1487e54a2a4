"""`huey-signals explain`: one task at each place where it can be, in words and as JSON."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from dataclasses import replace

import huey
import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit import install_handlers
from huey_signals_kit.cli._explain import command
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import MAX_SKIPS, Heartbeat, LockSkip, open_ledger
from huey_signals_kit.runtime.process_id import ProcessId, this_process
from huey_signals_kit.upkeep import explain
from huey_signals_kit.upkeep.explanation import explain as explain_module
from tests.cli.conftest import FAR, LONG
from tests.consumer import top_app
from tests.consumer.harness import running_consumer
from tests.consumer.ledger_app import GATE, declare
from tests.locks import taken_by
from tests.selection import slow_except
from tests.support import hold, put_kit_data, run_all, store, wait_until

GONE = replace(this_process(), pid=2**22 + 5, start_time=17)
"""A place of this host where no process is."""
ELSEWHERE = ProcessId("another-host", "another boot", 4711, 99)


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    """Make `explain` wait a tenth of a second for workers of which none has a record."""
    monkeypatch.setattr(explain_module, "_NEW_WORKER_SECONDS", 0.1)
    monkeypatch.setattr(explain_module, "_POLL_SECONDS", 0.02)


@pytest.fixture(params=["sqlite", "redis"])
def kind(request):
    """Each of two storages in turn."""
    return request.param


def told(shop, task, code=0):
    """What is told of a task, or an id, as running text."""
    ran = shop.run("explain", shop.name, getattr(task, "id", task))
    assert (ran.code, ran.err) == (code, "")
    assert ran.fits()
    return ran.words


def beats(shop, place=None, **says):
    open_ledger(shop.huey).write(
        Heartbeat("one", place or this_process(), "thread", 1.0, 1, **says)
    )


def scheduled(shop, task, eta=FAR):
    task.eta = eta
    shop.huey.add_schedule(task)
    return task


def test_queued(shop):
    """At which place."""
    first, second, third = (shop.tasks.job(n) for n in range(3))
    words = told(shop, first)
    assert words.startswith(f"Task {first.id}, {shop.module}.job Queued: no task comes before it.")
    assert "Queued: 1 task comes before it." in told(shop, second)
    assert "Queued: 2 tasks come before it." in told(shop, third)
    assert words.endswith(
        "No worker with the kit is known on this queue. Start a consumer, unless one without "
        "the kit is running."
    )


def test_queued_with_a_worker(shop):
    """Then no word of that."""
    beats(shop)
    result = shop.tasks.job()
    assert told(shop, result).endswith("Queued: no task comes before it.")


def test_queued_for_later(shop):
    """Huey enqueues what has an eta, and a worker schedules it."""
    result = shop.tasks.job.schedule(eta=FAR)
    assert (
        "Queued: no task comes before it. "
        "A worker will move it to the schedule, for 2099-01-01 00:00:00 (UTC)."
    ) in told(shop, result)


def test_scheduled(shop):
    """For when."""
    task = scheduled(shop, shop.tasks.job.s())
    assert "Scheduled for 2099-01-01 00:00:00 (UTC)." in told(shop, task)
    task = scheduled(shop, shop.tasks.job.s(), FAR.replace(year=2001))
    assert (
        "Scheduled for 2001-01-01 00:00:00 (UTC), which is past: it moves to the queue next."
    ) in told(shop, task)


def test_local_time(sqlite_shop):
    """Where the Huey has that."""
    sqlite_shop.huey.utc = False
    task = scheduled(sqlite_shop, sqlite_shop.tasks.job.s())
    assert "Scheduled for 2099-01-01 00:00:00 (local time)." in told(sqlite_shop, task)


@pytest.mark.parametrize("kind", slow_except(["sqlite"], ["sqlite", "redis"]), indirect=True)
def test_running_in_a_real_consumer(shop, tmp_path, monkeypatch):
    """Where and for how long, and what comes after it; then its result."""
    gate = tmp_path / "gate"
    monkeypatch.setenv(GATE, str(gate))
    quick, slow = declare(shop.huey)
    later = quick.s()
    task = slow.s().then(later)
    shop.huey.enqueue(task)
    app = "tests.consumer.ledger_app"
    log = tmp_path / "consumer.log"
    with running_consumer(shop.place, log, workers=1, install=None, app=app) as consumer:
        ledger = open_ledger(shop.huey)
        consumer.wait_until(lambda: ledger.running_ids() == {task.id, later.id}, "its heartbeat")
        words = told(shop, task)
        assert "Running for about" in words
        assert f"in process {consumer.process.pid} on host {this_process().host} (alive)." in words
        words = told(shop, later)
        assert f"Belongs to tests.consumer.ledger_app.slow {task.id}, which is running" in words
        gate.touch()
        consumer.wait_until(lambda: task.id in store(shop.huey), "its result")
    assert "Succeeded: its result is 1" in told(shop, task)


@pytest.mark.parametrize("kind", slow_except(["redis"], ["sqlite", "redis"]), indirect=True)
def test_skipped_in_a_real_consumer(shop, tmp_path, monkeypatch):
    """Says when, and on which lock, although nothing of it is stored."""
    monkeypatch.setenv(top_app.GATE, str(tmp_path / "gate"))
    import_users = top_app.declare(shop.huey)
    tasks = [import_users(), import_users()]
    app, log = "tests.consumer.top_app", tmp_path / "consumer.log"
    with running_consumer(shop.place, log, workers=2, install={}, app=app) as consumer:
        pid = consumer.process.pid

        def skips():
            return [
                each for task in tasks for each in explain(shop.huey, task.id, patience=0).skipped
            ]

        consumer.wait_until(skips, "a skip in the ledger")
        (skip,) = skips()
        assert (skip.lock, skip.host, skip.pid) == (top_app.LOCK, this_process().host, pid)
        assert abs(skip.at.timestamp() - time.time()) < 60
        (task,) = (each for each in tasks if explain(shop.huey, each.id, patience=0).skipped)
        words = told(shop, task)
        at = f"{skip.at:%H:%M:%S} UTC on {skip.at:%Y-%m-%d}"
        assert f"Skipped at {at}: lock '{top_app.LOCK}' was held." in words
        assert "it has no result" not in words
        ran = shop.run("explain", shop.name, task.id, "--json")
        assert json.loads(ran.out)["skipped"][0]["lock"] == top_app.LOCK
        (tmp_path / "gate").touch()


def test_skipped_again_and_again(sqlite_shop):
    """Says how often, and the last of them; the clock of another host is said to be that."""
    skips = [LockSkip("id", "held", float(at)) for at in (70, 10, 70, 40)]
    beats(sqlite_shop, ELSEWHERE, skips=(*skips, LockSkip("other", "x", 99.0)))
    assert (
        "Skipped 3 times recently, last at 00:01:10 UTC on 1970-01-01 by the clock of that "
        "host: lock 'held' was held. Recorded by process 4711 on host another-host."
    ) in told(sqlite_shop, "id")


@pytest.mark.slow
def test_a_process_keeps_only_its_last_skips(sqlite_shop):
    """So its record stays small, whatever happens in it."""
    huey = sqlite_shop.huey
    with install_handlers(huey):
        hold(huey, "held")
        ids = [sqlite_shop.tasks.guarded().id for _ in range(MAX_SKIPS + 3)]
        run_all(huey)

        def last_skips():
            processes = open_ledger(huey).processes()
            return [skip.task_id for each in processes for skip in each.heartbeat.skips]

        wait_until(lambda: ids[-1] in last_skips(), 30, "a heartbeat with the last skip")
        assert last_skips() == ids[3:]


def test_running_in_a_process_that_is_dead(shop):
    """Says that it will not finish."""
    task_id, later = str(uuid.uuid4()), str(uuid.uuid4())
    beats(shop, GONE, running=(RunningTask(task_id, "shop.job", 5.0, (later,)),))
    where = f"process {GONE.pid} on host {GONE.host}, which is dead"
    assert f"Was running in {where}: it will not finish, and Huey does not retry it" in told(
        shop, task_id
    )
    assert f"Belongs to shop.job {task_id}, which was running in {where}:" in told(shop, later)
    taken_by(shop.huey, "two words", GONE, task_id=task_id)
    command_line = f"huey-signals locks release {shop.name} 'two words' --apply"
    assert command_line in shop.run("explain", shop.name, task_id).out


def test_running_on_another_host(shop):
    """By the clock of that one."""
    task_id = str(uuid.uuid4())
    beats(shop, ELSEWHERE, running=(RunningTask(task_id, "shop.job", 5.0),))
    words = told(shop, task_id)
    assert "Running since 1970-01-01 00:00:05 UTC by the clock of that host, in process" in words
    assert "process 4711 on host another-host (" in words


def test_due(shop):
    """In the hands of the scheduler."""
    beats(shop, waiting=("nightly",))
    assert (
        f"In flight: process {this_process().pid} on host {this_process().host} has dequeued it"
        in told(shop, "nightly")
    )


def test_a_later_stage(shop):
    """Of which task, and where that is."""
    job = shop.tasks.job
    first, second, handler, of_second = job.s(), job.s(), job.s(), job.s()
    first.then(second).error(handler)
    second.error(of_second)
    shop.huey.enqueue(first)
    name = f"{shop.module}.job {first.id}, which is queued (no task comes before it)."
    words = told(shop, second)
    assert f"Waits as a later stage of {name}" in words
    assert words.endswith(f"huey-signals explain {shop.name} {first.id}")
    assert f"Waits as an error handler of {name}" in told(shop, handler)
    assert f"Waits as an error handler of the later stage of {name}" in told(shop, of_second)


def test_a_later_stage_of_a_scheduled_task(shop):
    """With when that is."""
    job = shop.tasks.job
    first, second = job.s(), job.s()
    scheduled(shop, first.then(second))
    assert (
        f"Waits as a later stage of {shop.module}.job {first.id}, "
        "which is scheduled for 2099-01-01 00:00:00 (UTC)."
    ) in told(shop, second)


def test_a_chord(shop):
    """Its parts, its callback, and how many parts have ended."""
    if not hasattr(huey, "chord"):
        pytest.skip("this Huey has no chords")
    job = shop.tasks.job
    parts, callback = [job.s(n) for n in range(8)], job.s()
    shop.huey.enqueue(huey.chord(parts, callback))
    shop.huey.execute(shop.huey.dequeue())
    words = told(shop, callback)
    assert f"Waits as a chord callback of {shop.module}.job {parts[1].id}, which is" in words
    assert "And in 2 more places." in words
    assert "Its chord has 8 parts, of which 1 has ended; it runs after all of them." in words
    assert "Part 8 of a chord with 8 parts, of which 1 has ended." in told(shop, parts[7])


def test_an_argument(shop):
    """Is not taken for the task."""
    other = str(uuid.uuid4())
    result = shop.tasks.job(other)
    assert f"Its id is in the arguments of {shop.module}.job {result.id}, which is" in told(
        shop, other
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "forever."),
        ({"revoke_once": True}, "once: the next run"),
        ({"revoke_until": FAR}, "until 2099-01-01 00:00:00 (UTC)."),
    ],
)
def test_revoked(shop, options, said):
    """By which token, and for how long."""
    task = scheduled(shop, shop.tasks.job.s())
    shop.huey.revoke_by_id(task.id, **options)
    shop.huey.revoke_all(shop.tasks.job.task_class, **options)
    words = told(shop, task)
    assert f"Revoked by its own token, r:{task.id}, {said}" in words
    assert f"Revoked by the pause switch of its task, rt:{shop.module}.job, {said}" in words


def test_not_revoked_any_more(shop):
    """Nothing that is over is told as what stops it."""
    task = scheduled(shop, shop.tasks.job.s())
    shop.huey.revoke_by_id(task.id, revoke_until=FAR.replace(year=2001))
    words = told(shop, task)
    assert (
        f"No longer revoked: its own token, r:{task.id}, was valid until 2001-01-01 00:00:00 (UTC)."
    ) in words
    assert "Revoked by" not in words


def test_a_token_alone(shop):
    """Says that its task stands nowhere."""
    shop.huey.revoke_by_id(LONG)
    shop.huey.storage.put_data("r:broken", b"junk")
    words = told(shop, LONG)
    assert "forever. It is not queued, scheduled or known to be running" in words
    assert "Maybe revoked: its own token, r:broken, cannot be read." in told(shop, "broken")


def test_the_locks_that_it_holds(shop):
    """Since when, and in which process."""
    seen = []

    @shop.huey.task(context=True)
    @shop.huey.lock_task("mine")
    def guarded(task=None):
        seen.append(told(shop, task))

    with install_handlers(shop.huey):
        guarded()
        run_all(shop.huey)
    (words,) = seen
    assert "Holds the lock 'mine' since 20" in words
    assert f"in process {this_process().pid} (alive)." in words


def test_skips(shop):
    """Of all tasks of its name, which is said."""
    skips = ("huey_lock_skips_total", shop.huey.name, f"{shop.module}.job")
    beats(shop, counters={(*skips, "held"): 3, (*skips, "user-*"): 1})
    words = told(shop, shop.tasks.job())
    assert (
        "Tasks with this name were skipped 3 times because the lock 'held' was held; "
        "this counts all of them, not only this one. "
        "Tasks with this name were skipped 1 time because the lock 'user-*' was held; "
        "this counts all of them, not only this one. Locks with similar names are counted as one."
    ) in words


def test_results(shop):
    """Or errors, by class; they stay in the store."""

    @shop.huey.task()
    def fails():
        raise ValueError("no such user")

    done, large, failed = shop.tasks.job(5), shop.tasks.job("x" * 5000), fails()
    run_all(shop.huey)
    shop.huey.storage.put_data("broken", b"junk")
    before = store(shop.huey)
    assert told(shop, done) == f"Task {done.id} Succeeded: its result is 5"
    assert "Succeeded: its result has the class str and 5,0" in told(shop, large)
    assert told(shop, failed).endswith("Failed with ValueError: ValueError('no such user')")
    assert told(shop, "broken").endswith("Has a result of 4 bytes, which cannot be read.")
    assert store(shop.huey) == before


def test_a_stage_whose_earlier_one_has_failed(shop):
    """Says which."""

    @shop.huey.task()
    def fails():
        raise ValueError("no such user")

    first, second = fails.s(), shop.tasks.job.s()
    shop.huey.enqueue(first.then(second))
    run_all(shop.huey)
    if second.id not in store(shop.huey):
        pytest.skip("this Huey stores no error for later stages")
    assert f"Failed with ValueError in its earlier stage {first.id}, so it did not run:" in told(
        shop, second
    )


def test_nothing_knows_it(shop):
    """Where it was looked for, and why that can be."""
    shop.tasks.job()
    task_id = str(uuid.uuid4())
    words = told(shop, task_id, code=1)
    assert words.startswith(
        f"Nothing is known of the task '{task_id}'. {shop.name} is the queue '{shop.huey.name}' ("
    )
    assert "): 1 queued, 0 scheduled, 0 known worker processes." in words
    assert "its result was read, which deletes it" in words
    assert "a worker without the kit" in words
    assert "Did you mean" not in words
    assert "incomplete" not in words


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            lambda shop, task_id: task_id[:-1],
            "ids made by Huey have 36 characters, and this one has 35.",
        ),
        (lambda shop, task_id: f"r:{task_id}", "This is the key of a token"),
        (lambda shop, task_id: f"{shop.module}.job", "is the name of a task, and each run has"),
        (lambda shop, task_id: "x\x1b[31mx" + task_id, "'x\\x1b[31mx"),
    ],
)
def test_an_id_that_is_wrong(shop, wrong, said):
    """Says in which way, and what it may have been meant to be."""
    task_id = shop.tasks.job().id
    given = wrong(shop, task_id)
    words = told(shop, given, code=1)
    assert said in words
    assert (f"Did you mean {task_id}?" in words) == (task_id[-8:] in given or task_id[:8] in given)


def test_spaces_around_an_id_are_no_part_of_it(shop):
    """As they come with copying."""
    result = shop.tasks.job()
    assert "Queued" in told(shop, f" {result.id}\n")


def test_what_cannot_be_read(shop):
    """It may stand in there, which is said in any case."""
    shop.huey.storage.enqueue(b"junk")
    result = shop.tasks.job()
    said = "1 message in the queue or the schedule cannot be read; the task may be among them."
    assert said in told(shop, result)
    assert said in told(shop, "nobody", code=1)


def test_processes_that_cannot_say_what_they_run(sqlite_shop):
    """It may be there, which is said in any case."""
    beats(sqlite_shop, unread=2)
    put_kit_data(sqlite_shop.huey, "process:broken", b"junk")
    words = told(sqlite_shop, "nobody", code=1)
    assert "Workers run 2 tasks whose nested tasks are unknown; this task may be" in words
    assert "1 record of processes cannot be read; the task may be running there." in words
    assert "1 known worker process." in words
    assert "a worker without the kit" not in words


def test_another_huey_than_you_think(sqlite_shop):
    """Where there is nothing at all."""
    said = f"{sqlite_shop.name} may not be the Huey that you mean: its queue and schedule are empty"
    assert said in told(sqlite_shop, "nobody", code=1)
    sqlite_shop.tasks.job()
    assert said not in told(sqlite_shop, "nobody", code=1)


def test_json(shop):
    """All of it and nothing else."""
    result = shop.tasks.job()
    ran = shop.run("explain", shop.name, result.id, "--json")
    expected = json.loads(json.dumps(explain(shop.huey, result.id).as_dict()))
    assert (ran.code, ran.err) == (0, "")
    assert {**json.loads(ran.out), "now": 0} == {**expected, "now": 0}
    assert expected["places"][0]["before"] == 0


def test_json_of_what_nothing_knows(shop):
    """Is JSON as well, with exit code 1."""
    ran = shop.run("explain", shop.name, "nobody", "--json")
    found = json.loads(ran.out)
    assert (ran.code, ran.err, found["known"], found["places"]) == (1, "", False, [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explain"], "Missing argument 'HUEY'"),
        (["explain", "shop.huey"], "Missing argument 'TASK_ID'"),
        (["explain", "no_such_module.huey", "a"], "no_such_module"),
    ],
)
def test_wrong_use(folder, arguments, said):
    """Exit code 2."""
    ran = folder.run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_an_empty_id(sqlite_shop):
    """Is none."""
    ran = sqlite_shop.run("explain", sqlite_shop.name, " ")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "huey-signals explain: give the id of a task, as its result has it: result.id\n"
    )


def test_as_a_command(sqlite_shop):
    """In a process of its own."""
    result = sqlite_shop.tasks.job()
    ran = sqlite_shop.command("explain", sqlite_shop.name, result.id)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == sqlite_shop.run("explain", sqlite_shop.name, result.id).out


def test_a_storage_that_goes_away(sqlite_shop, monkeypatch):
    """A line and exit code 1."""

    def gone(*_, **__):
        raise OSError("the disk has gone away")

    monkeypatch.setattr(command, "find", gone)
    ran = sqlite_shop.run("explain", sqlite_shop.name, "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert "the disk has gone away" in ran.err


def test_what_it_looks_through_is_shown(sqlite_shop, monkeypatch):
    """To a person who is looking."""
    for _ in range(3):
        sqlite_shop.tasks.job()
    said = []

    @contextmanager
    def progress(doing):
        yield said.append

    monkeypatch.setattr(command, "progress", progress)
    told(sqlite_shop, sqlite_shop.tasks.job())
    assert said == ["4 tasks read"]
