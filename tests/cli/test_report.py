"""`huey-signals report`: what it prints, and when it calls for a person."""

from __future__ import annotations

import json
import os
import re
import uuid
from dataclasses import replace

import pytest
from huey import RedisHuey
from redis.exceptions import ConnectionError as RedisConnectionError

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit import install_handlers
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import process_with_pid, this_process
from huey_signals_kit.upkeep import report, sweep_tokens
from tests.locks import GONE, taken_by
from tests.support import hold, put_kit_data, run_all, store

LONG = "x" * 200
NO_CONSUMER = (
    "2 lock errors are stored, and no consumer with the kit is known. A kit in the application "
    "alone does not prevent them: call install_handlers in the module where the Huey is created, "
    "so that the consumer calls it, too"
)


def test_it_shows_all_there_is(shop):
    """Keys by kind, errors by class, tokens, what waits, and which command cleans what."""
    shop.fill()
    before = store(shop.huey)
    ran = shop.run("report", shop.name, "--details")
    assert (ran.code, ran.err) == (1, "")
    assert f"Needs attention: - {NO_CONSUMER}" in ran.words
    assert ran.row("error")[0] == "2"
    assert ran.row("all")[0] == str(len(before))
    assert ran.row("TaskLockedException") == ["2"]
    assert ran.row("live")[0] == "1"
    assert ran.row("custom")[0] == "2"
    assert ran.row("orphaned")[0] == "3"
    assert ran.row(f"{shop.module}.job") == ["active"]
    assert ran.row("queue") == ["1"]
    assert ran.row("schedule") == ["1", "2099-01-01", "00:00:00", "UTC"]
    assert f"To delete 3 orphaned revoke tokens: huey-signals sweep {shop.name}" in ran.words
    assert f"To delete 2 stored lock errors: huey-signals purge {shop.name}" in ran.words
    assert "none known; processes without the kit cannot be seen" in ran.words
    assert ran.fits()
    assert store(shop.huey) == before


def test_json_is_the_report_and_nothing_else(shop):
    """As the kit makes it."""
    shop.fill()
    ran = shop.run("report", shop.name, "--json")
    expected = {**report(shop.huey).as_dict(), "seconds": 0}
    assert (ran.code, ran.err) == (1, f"huey-signals report: {NO_CONSUMER}\n")
    assert {**json.loads(ran.out), "seconds": 0} == json.loads(json.dumps(expected))


def test_as_a_command(sqlite_shop):
    """A process of its own prints the same."""
    sqlite_shop.fill()
    ran = sqlite_shop.command("report", sqlite_shop.name)
    assert (ran.code, ran.err) == (1, "")
    when = re.compile(r"read at .* ms")
    expected = sqlite_shop.run("report", sqlite_shop.name).out
    assert when.sub("", ran.out) == when.sub("", expected)


def test_an_empty_queue(sqlite_shop):
    """Nothing there is nothing to do."""
    ran = sqlite_shop.run("report", sqlite_shop.name, "--details")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Nothing needs attention.\n")
    assert ran.row("all") == ["0", "0"]
    assert "huey-signals" not in ran.out


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda huey: huey.storage.put_data("result", b"junk"),
            "1 value in the store cannot be read. The kit deletes nothing that it cannot read; use "
            "the tools of the storage",
        ),
        (
            lambda huey: huey.storage.enqueue(b"junk"),
            "1 message in the queue or the schedule cannot be read: until they are run or removed, "
            "no sweep and no purge deletes anything",
        ),
        (
            lambda huey: huey.put("rt:old.gone", (None, False)),
            "Pause switches without effect, because this Huey does not have their tasks: old.gone. "
            "If the tasks were renamed or removed, delete the switches with huey-signals tokens "
            "delete",
        ),
        (
            lambda huey: taken_by(huey, "held", GONE),
            "1 lock of dead processes: tasks that need them do not run. huey-signals locks shows "
            "and releases them",
        ),
    ],
)
def test_what_needs_a_person(sqlite_shop, spoil, said):
    """It is said, with exit code 1; beside JSON, on stderr."""
    spoil(sqlite_shop.huey)
    ran = sqlite_shop.run("report", sqlite_shop.name)
    assert (ran.code, ran.err) == (1, "")
    assert f"Needs attention: - {said}" in ran.words
    assert ran.fits()
    ran = sqlite_shop.run("report", sqlite_shop.name, "--json")
    assert (ran.code, ran.err) == (1, f"huey-signals report: {said}\n")
    assert json.loads(ran.out)["queue"] == sqlite_shop.huey.name


def test_lock_errors_with_a_kit_in_the_application_only_need_a_person(sqlite_shop):
    """Nothing works then, and nothing else says so; with a consumer, dead or not, it is known."""
    sqlite_shop.fill()
    with install_handlers(sqlite_shop.huey) as kit:
        kit._heartbeat.write()
        assert not kit.report().has_consumer
        ran = sqlite_shop.run("report", sqlite_shop.name)
        assert ran.code == 1
        assert NO_CONSUMER in ran.words
    place = replace(this_process(), pid=this_process().pid, start_time=1)
    for worker in ("scheduler", "thread"):
        ledger = open_ledger(sqlite_shop.huey)
        ledger.write(Heartbeat(uuid.uuid4().hex, place, worker=worker))
        ran = sqlite_shop.run("report", sqlite_shop.name)
        assert "no consumer with the kit" not in ran.words


def spoil_records(huey):
    if isinstance(huey, RedisHuey):
        place = f"huey-signals.ledger.{huey.storage.name}"
        huey.storage.conn.hset(place, mapping={"process:one": b"junk", "totals": b"junk"})
    else:
        put_kit_data(huey, "process:one", b"junk")
        put_kit_data(huey, "totals", b"junk")


def test_records_that_cannot_be_read(shop):
    """It says where they are and how to delete them, which then can be done."""
    shop.fill()
    spoil_records(shop.huey)
    ran = shop.run("report", shop.name, "--json")
    assert ran.code == 1
    assert ran.err.startswith("huey-signals report: 2 records of the ledger cannot be read (")
    assert "no sweep and no purge deletes anything" in ran.err
    assert "huey-signals forget HUEY --record process:one --apply" in ran.err
    for name in ("process:one", "totals"):
        assert shop.run("forget", shop.name, "--record", name, "--apply").code == 0
    beats(shop, "two", this_process())
    assert shop.run("report", shop.name).code == 0


def beats(shop, process, place, worker="thread"):
    open_ledger(shop.huey).write(Heartbeat(process, place, worker, 1.0, 1))


def test_messages_that_only_dead_consumers_would_take(shop):
    """Need attention; as long as one process with workers may live they do not."""
    for n in range(50):
        shop.tasks.job(n)
    beats(shop, "application", this_process(), "")
    beats(shop, "scheduler", this_process(), "scheduler")
    assert shop.run("report", shop.name).code == 0
    beats(shop, "one", GONE)
    ran = shop.run("report", shop.name)
    assert ran.code == 1
    assert (
        "- 50 messages wait in the queue, and every known process with workers is dead "
        f"(process {GONE.pid} on {GONE.host}). Start a consumer, unless"
    ) in ran.words
    beats(shop, "two", this_process())
    assert shop.run("report", shop.name).code == 0


def test_an_empty_queue_of_dead_consumers(sqlite_shop):
    """Calls for nobody: no message is kept waiting."""
    beats(sqlite_shop, "one", GONE)
    assert sqlite_shop.run("report", sqlite_shop.name).code == 0


def test_a_huey_without_tasks_has_no_ownerless_switches(folder, make_place):
    """Whose they are cannot be told, which calls for nobody."""
    place = make_place("sqlite")
    folder.write(
        "bare",
        "from tests.support import Place\n"
        f"huey = Place({place.kind!r}, {place.location!r}, {place.name!r}).open()\n"
        "huey.put('rt:some.task', (None, False))\n",
    )
    ran = folder.run("report", "bare.huey", "--details")
    assert (ran.code, ran.err) == (0, "")
    assert ran.row("some.task") == ["active"]
    assert "not imported here: some.task." in ran.words


def test_errors_that_expire_need_no_purge(sqlite_shop):
    """The report shows them, and suggests no purge, which would leave them alone."""
    with install_handlers(sqlite_shop.huey, preset="brief-locks"):
        hold(sqlite_shop.huey, "held")
        sqlite_shop.huey.task()(sqlite_shop.huey.lock_task("held")(lambda: None))()
        run_all(sqlite_shop.huey)
    ran = sqlite_shop.run("report", sqlite_shop.name, "--details")
    assert ran.row("TaskLockedException") == ["1", "1", "expires"]
    assert "purge" not in ran.out
    assert "lock errors are stored" not in ran.words


def test_an_expired_switch_calls_for_nobody(sqlite_shop):
    """Huey removes it when its task comes up next."""
    sqlite_shop.huey.revoke_all(
        sqlite_shop.tasks.job.task_class, revoke_until=sqlite_shop.huey._get_timestamp()
    )
    ran = sqlite_shop.run("report", sqlite_shop.name, "--details")
    assert ran.code == 0
    assert ran.row(f"{sqlite_shop.module}.job") == ["expired"]


def test_marks_show(sqlite_shop):
    """How many orphans a sweep has seen, and since when."""
    sqlite_shop.fill()
    sweep_tokens(sqlite_shop.huey, clock=lambda: 1_700_000_000.0)
    assert "(3 marked by a sweep); last sweep 2023-11-14 22:13:20 UTC" in (
        sqlite_shop.run("report", sqlite_shop.name).words
    )
    words = sqlite_shop.run("report", sqlite_shop.name, "--details").words
    assert "marked 3 seen orphaned by one sweep, first at 2023-11-14 22:13:20 UTC" in words


def test_who_works_and_what_was_counted(shop):
    """Processes with what they run, and counters that stay readable however many there are."""
    queue = shop.huey.name
    counters = {("huey_signals_total", queue, f"task{n}", "locked"): n for n in range(1, 30)}
    counters["huey_lock_skips_total", queue, LONG, LONG] = 1
    running = (RunningTask(str(uuid.uuid4()), LONG, 1.0), RunningTask("two", "reports.daily", 1.0))
    beat = Heartbeat("one", this_process(), "thread", 5.0, 1, running=running, counters=counters)
    open_ledger(shop.huey).write(beat)
    open_ledger(shop.huey).write(
        replace(beat, id="two", process=replace(this_process(), pid=2**30))
    )
    ran = shop.run("report", shop.name, "--details")
    assert ran.code == 0
    assert (
        "1 alive, 1 dead; 2 tasks running; 2 tasks were running in a process that died" in ran.words
    )
    assert ran.words.count("died while running x") == 1
    assert ran.row("task29 locked") == ["58"]
    assert "and 19 more; --json has all" in ran.words
    assert "reports.daily (1)" in ran.words
    assert ran.fits()
    assert " done" not in ran.words  # that is counted only with a sink


def test_long_and_hostile_names_fit(shop):
    """Names of 200 characters are folded, and no name reaches the terminal as a command."""
    shop.fill()
    shop.huey.put(f"rt:{LONG}", (None, False))
    shop.huey.put("rt:\x1b[31mred\n名", (None, False))
    ran = shop.run("report", shop.name)
    assert (ran.code, ran.err) == (1, "")
    assert ran.fits()
    assert ran.out.replace("\n", "").replace(" ", "").count("x" * 200) >= 1
    assert "\\x1b[31mred\\n名" in ran.out


def test_a_serializer_of_ones_own_is_named(folder, make_place):
    """What it reads is its own affair."""
    place = make_place("sqlite")
    folder.write(
        "own",
        "from huey.serializer import Serializer\n"
        "from tests.support import Place\n"
        "class Mine(Serializer):\n"
        "    def _serialize(self, data): return b'!' + super()._serialize(data)\n"
        "    def _deserialize(self, data): return super()._deserialize(data[1:])\n"
        f"huey = Place({place.kind!r}, {place.location!r}, {place.name!r}).open("
        "serializer=Mine())\n",
    )
    ran = folder.run("report", "own.huey")
    assert "Its serializer Mine is your own; the kit uses it unchecked." in ran.words


def test_a_redis_that_is_not_there_is_named_by_its_defaults(shop, monkeypatch):
    """Whoever gave no address has to be told which one was tried."""
    shop.write("bare", "from huey import RedisHuey\nhuey = RedisHuey('shop')\n")
    with monkeypatch.context() as patch:
        patch.setattr("redis.connection.Connection.connect", _refuse)
        ran = shop.run("report", "bare.huey")
    assert ran.code == 1
    assert ran.err.startswith("huey-signals report: cannot use the Redis at localhost:6379/0: ")


def _refuse(*_, **__):
    raise RedisConnectionError("Connection refused")


def test_output_that_cannot_be_written_is_not_laid_at_the_storages_door(shop):
    """The disk that is full may be that of a redirected output."""
    with open("/dev/full", "w") as full:
        process = shop.start("report", shop.name, "--json", stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot write the output: [Errno 28] No space left on device" in err


def test_a_periodic_task_that_two_consumers_enqueue(sqlite_shop):
    """Needs attention, as each run happens twice; one that a single consumer enqueues does not."""
    tasks = ("shop.hourly", "shop.nightly")
    own, other = this_process(), process_with_pid(os.getppid())
    for place, periodic in ((own, tasks), (other, ("shop.nightly", "shop.other"))):
        record = Heartbeat(str(place.pid), place, "thread", 1.0, 1, periodic=periodic)
        open_ledger(sqlite_shop.huey).write(record)
        ran = sqlite_shop.run("report", sqlite_shop.name)
        assert ran.code == (place is other)
    assert ran.words.startswith(
        "Needs attention: 1 periodic task enqueued by more than one consumer."
    )
    assert (
        "- 2 consumers enqueue the same periodic task, so that each run happens more than once: "
        "shop.nightly (by process "
    ) in ran.words
    assert f"process {other.pid} on {other.host}" in ran.words
    assert "Start all consumers but one with --no-periodic" in ran.words
    assert ran.fits()
