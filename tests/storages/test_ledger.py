"""The ledger on every storage: who is there, what they run, what all have counted, each once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from huey import crontab

from huey_signals_kit import install_handlers
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, LockSkip, UnreadableLedger, open_ledger
from huey_signals_kit.ledger._ledger import Ledger
from huey_signals_kit.ledger._record import try_load
from huey_signals_kit.metrics.values import Durations
from huey_signals_kit.runtime.process_id import ProcessId, process_with_pid, this_process
from huey_signals_kit.upkeep import report
from tests.consumer.harness import ROOT
from tests.locks import watched
from tests.selection import slow_except
from tests.support import (
    HAS_ENQUEUED,
    REDIS_KINDS,
    delete_kit_data,
    kit_data,
    locks,
    put_kit_data,
    wait_until,
)

ELSEWHERE = ProcessId("another-host", "another boot", 4711, 99)
SIGNALS, SECONDS = "huey_signals_total", "huey_task_duration_seconds"
DONE = (SIGNALS, "q", "tasks.t", "complete")
SKIPPED = ("huey_lock_skips_total", "q", "tasks.t", "media:*")


class Clock:
    """A clock that stands still until it is set forward."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_backend(any_huey):
    """The shelf that `open_ledger` finds for this storage."""
    return open_ledger(any_huey)._backend


@pytest.fixture
def is_redis(any_kind):
    return any_kind in REDIS_KINDS


def beat(process_id, count=0, sequence=1, **more):
    """A record; of another host's worker, unless told otherwise."""
    counters = {DONE: count} if count else {}
    given = {"process": ELSEWHERE, "worker": "thread", "counters": counters, **more}
    return Heartbeat(process_id, sequence=sequence, **given)


@pytest.fixture(scope="session")
def ended():
    """The place of a process of this host that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        place = replace(
            this_process(), pid=process.pid, start_time=process_with_pid(process.pid).start_time
        )
        assert place.is_alive() is True
    assert place.is_alive() is False
    return place


def forget_who_is_fresh(huey):
    """What time does on the server."""
    for key in huey.storage.conn.scan_iter(f"huey-signals.fresh.{huey.storage.name}.*"):
        huey.storage.conn.delete(key)


def flush(huey, is_redis):
    """All that the ledger has is gone."""
    huey.flush()
    delete_kit_data(huey, *kit_data(huey))
    if is_redis:
        for key in huey.storage.conn.scan_iter(f"huey-signals.*{huey.storage.name}*"):
            huey.storage.conn.delete(key)


def test_a_record_is_read_as_it_was_written(any_huey):
    """Every field, also names that are hard to write, comes back in another ledger."""
    record = Heartbeat(
        "p1",
        ELSEWHERE,
        worker="greenlet",
        started=12.5,
        sequence=3,
        running=(RunningTask("id é \udc80", "tasks.t", 1.5, ("nested", "deeper")),),
        locks=("media:17",),
        skips=(LockSkip("id é \udc80", "media:17", 1.5), LockSkip("other", "", 2.5)),
        counters={DONE: 7, (SECONDS, "q", "ü"): Durations(1, 0.5, (0, 0, 0, 0, 1, *[0] * 9))},
    )
    open_ledger(any_huey).write(record)
    [process] = open_ledger(any_huey).processes()
    assert process.heartbeat == record


def test_a_record_of_an_earlier_version_is_read(any_huey):
    """A record without lock skips, as 0.1 wrote it, is as good as any."""
    record = Heartbeat("p1", ELSEWHERE, worker="thread", sequence=3, locks=("media:17",))
    content = json.loads(record.dump())
    del content["skips"]
    assert try_load(json.dumps(content).encode()) == record


def test_the_totals_are_those_of_all(any_huey):
    """Of two that live and one that has left: everybody's counters, of every kind."""
    ledger = open_ledger(any_huey)
    seconds = (SECONDS, "q", "tasks.t")
    one = Durations(1, 0.25, (0, 0, 0, 1, *[0] * 10))
    ledger.write(beat("a", counters={DONE: 1, seconds: one}))
    ledger.write(beat("b", counters={DONE: 10, SKIPPED: 5}))
    ledger.deregister(beat("c", counters={DONE: 100, seconds: one}))
    ledger.write(beat("a", 2, sequence=2, counters={DONE: 2, seconds: one}))
    found = open_ledger(any_huey).snapshot()
    assert found.totals == {DONE: 112, SKIPPED: 5, seconds: one + one}
    assert {each.heartbeat.id for each in found.processes} == {"a", "b"}


def test_a_beat_is_one_write_and_leaving_leaves_no_record(any_huey, open_backend):
    """After the first of all, nothing is read, and one value is written."""
    backend = Recorded(open_backend())
    ledger = Ledger(lambda: backend)
    ledger.write(beat("a", 1))
    backend.calls.clear()
    for sequence in range(2, 5):
        ledger.write(beat("a", sequence, sequence))
    assert backend.calls == ["compare_and_set"] * 3
    ledger.deregister(beat("a", 5, 5))
    assert backend.read()[1] == {}
    assert ledger.totals() == {DONE: 5}


def test_leaving_twice_counts_once(any_huey):
    """Nor does leaving with nothing to say write anything."""
    ledger = open_ledger(any_huey)
    ledger.deregister(beat("nobody"))
    assert ledger.snapshot().totals == {}
    assert not kit_data(any_huey)
    for _ in range(2):
        ledger.deregister(beat("a", 3))
    ledger.deregister(beat("a", 5, 2))
    assert ledger.totals() == {DONE: 5}
    assert ledger.processes() == []


@pytest.fixture
def eight_threads(any_huey):
    """Has eight threads do the same at the same moment; what each of them answered."""
    lock = getattr(any_huey.storage, "lock", None)
    if any_huey.storage.__class__.__name__ == "FileStorage" and not hasattr(lock, "_local"):
        pytest.skip("before Huey 3.4 two threads could have the lock of a FileStorage")

    def run(do):
        barrier, answers = threading.Barrier(8), []

        def race():
            barrier.wait(30)
            answers.append(do())

        threads = [threading.Thread(target=race, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return answers

    return run


def test_eight_threads_fold_a_dead_process_once(any_huey, ended, eight_threads):
    """Its counters are in the totals once, whoever was first, and at every moment."""
    open_ledger(any_huey).write(beat("dead", 5, process=ended))
    open_ledger(any_huey).write(beat("dead too", 7, process=ended))

    def race():
        ledger = open_ledger(any_huey)
        return ledger.fold_dead(), ledger.totals()

    answers = eight_threads(race)
    assert sum(folded for folded, _ in answers) == 2
    assert [totals for _, totals in answers] == [{DONE: 12}] * 8
    assert open_ledger(any_huey).processes() == []


RACE = """
import sys, time
from tests.support import Place
from huey_signals_kit.ledger import open_ledger
huey = Place(*sys.argv[1:4]).open()
ledger = open_ledger(huey)
print(flush=True)
input()
print(sum(ledger.fold_dead() for _ in range(3)))
"""


def test_two_processes_fold_dead_ones_once(any_kind, make_place, make_huey, ended):
    """Thirty dead ones, two processes at them at the same time."""
    if any_kind == "memory":
        pytest.skip("no other process sees it")
    place = make_place(any_kind)
    ledger = open_ledger(make_huey(any_kind, place.name))
    for number in range(30):
        ledger.write(beat(f"dead {number}", 2, process=ended))
    command = [sys.executable, "-c", RACE, place.kind, place.location, place.name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for racer in racers:
        racer.stdout.readline()
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    answers = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(answers) == 30
    assert ledger.snapshot().totals == {DONE: 60}
    assert ledger.processes() == []


class Killed(BaseException):
    """What `kill -9` would be."""


class Recorded:
    """A shelf that notes each call, and fails at the one that it is told to."""

    def __init__(self, backend, fail_at=None, applied=False, error=Killed):
        self._backend = backend
        self._fail_at = fail_at
        self._applied = applied
        self._error = error
        self.calls = []

    def __getattr__(self, name):
        call = getattr(self._backend, name)

        def recorded(*arguments):
            self.calls.append(name)
            fails = len(self.calls) - 1 == self._fail_at
            if fails and not self._applied:
                raise self._error
            answer = call(*arguments)
            if fails:
                raise self._error
            return answer

        return recorded


@pytest.mark.parametrize("applied", [False, True])
def test_who_folds_may_be_killed_between_any_two_steps(any_huey, open_backend, ended, applied):
    """Wherever it stops, the totals are right, and the next one ends the work, once."""
    expected, steps = 0, 0
    while True:
        name = f"dead {steps}"
        open_ledger(any_huey).write(beat(name, 3, process=ended))
        expected += 3
        backend = Recorded(open_backend(), fail_at=steps, applied=applied)
        try:
            Ledger(lambda backend=backend: backend).fold_dead()
        except Killed:
            steps += 1
        else:
            break
        assert open_ledger(any_huey).totals() == {DONE: expected}
        open_ledger(any_huey).fold_dead()
        assert open_ledger(any_huey).totals() == {DONE: expected}
        assert open_ledger(any_huey).processes() == []
    assert steps > 5
    assert open_ledger(any_huey).totals() == {DONE: expected}


@pytest.mark.parametrize("applied", [False, True])
def test_who_leaves_may_be_killed_between_any_two_steps(any_huey, open_backend, ended, applied):
    """Counted are what it had written before and, from some step on, its last; never both."""
    expected, steps = 0, 0
    while True:
        backend = Recorded(open_backend())
        ledger = Ledger(lambda backend=backend: backend)
        ledger.write(beat(f"p{steps}", 3, process=ended))
        backend.calls, backend._fail_at, backend._applied = [], steps, applied
        killed = False
        try:
            ledger.deregister(beat(f"p{steps}", 4, 2, process=ended))
        except Killed:
            killed = True
        open_ledger(any_huey).fold_dead()
        found = open_ledger(any_huey).totals()[DONE] - expected
        assert found == (3 if killed and steps == 0 and not applied else 4)
        expected += found
        if not killed:
            break
        steps += 1
    assert steps > 4


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_a_write_whose_answer_is_lost_is_neither_lost_nor_doubled(
    any_huey, open_backend, applied, last
):
    """The connection breaks at each call of one process in turn; it tries again, and goes on."""
    expected, step = 0, 0
    while True:
        backend = Recorded(open_backend(), step, applied, ConnectionError)
        ledger = Ledger(lambda backend=backend: backend)
        broken = 0
        for sequence in (1, 2, 3, 4, 5, 6, 6):
            leaves = sequence >= 5 or (last and sequence >= 3)
            try:
                (ledger.deregister if leaves else ledger.write)(
                    beat(f"p{step}", sequence, sequence)
                )
            except ConnectionError:
                broken += 1
        expected += 6
        assert open_ledger(any_huey).totals() == {DONE: expected}
        assert open_ledger(any_huey).processes() == []
        if not broken:
            break
        step += 1
    assert step > 5


def test_one_that_was_only_thought_dead_counts_once(any_huey, open_backend, clock, is_redis):
    """It goes on in another record, and what it counted before and since adds up."""
    process, reader = open_ledger(any_huey), Ledger(open_backend, clock=clock)
    process.write(beat("a", 10))
    assert reader.fold_dead() == 0
    if is_redis:
        forget_who_is_fresh(any_huey)
    with watched(reader, clock) as go:
        go(605)
        assert reader.fold_dead() == 1
    assert reader.totals() == {DONE: 10}
    for sequence, count in enumerate((13, 14), 2):
        process.write(beat("a", count, sequence))
        assert reader.totals() == {DONE: count}
    process.deregister(beat("a", 15, 4))
    assert reader.totals() == {DONE: 15}
    assert reader.processes() == []


def test_after_a_flush_the_living_bring_their_counters_back(any_huey, is_redis):
    """What was flushed of those that are gone is lost; nothing else, and nothing twice."""
    ledger, other = open_ledger(any_huey), open_ledger(any_huey)
    ledger.deregister(beat("gone", 100))
    ledger.write(beat("a", 10))
    other.write(beat("b", 1, running=(RunningTask("t1", "tasks.t", 0.0),)))
    flush(any_huey, is_redis)
    assert ledger.snapshot().totals == {}
    ledger.write(beat("a", 11, 2))
    other.write(beat("b", 1, 2, running=(RunningTask("t1", "tasks.t", 0.0),)))
    assert ledger.totals() == {DONE: 12}
    assert ledger.running_ids() == {"t1"}
    ledger.deregister(beat("a", 12, 3))
    other.deregister(beat("b", 2, 3))
    assert ledger.totals() == {DONE: 14}


def alive(ledger):
    """Whether the only process of another host lives."""
    [process] = [each for each in ledger.processes() if each.heartbeat.host == ELSEWHERE.host]
    return process.alive


def test_who_lives_elsewhere_is_known_by_change(any_huey, open_backend, clock, is_redis):
    """Without a change a reader cannot tell, and after a watched silence the process is dead."""
    process, reader = open_ledger(any_huey), Ledger(open_backend, clock=clock)
    process.write(beat("a"))
    assert alive(reader) is (True if is_redis else None)
    clock.now += 5
    process.write(beat("a", sequence=2))
    assert alive(reader) is True
    clock.now += 14
    assert alive(reader) is True
    if is_redis:
        forget_who_is_fresh(any_huey)
    clock.now += 10_000
    assert alive(reader) is None
    with watched(reader, clock) as go:
        go(115)
        assert alive(reader) is None
        go(10)
        assert alive(reader) is False
        process.write(beat("a", sequence=3))
        assert alive(reader) is True


def test_a_record_says_how_long_its_process_may_be_silent(any_huey, open_backend, clock, is_redis):
    """And a reader's own setting counts where it is longer."""
    open_ledger(any_huey).write(beat("a", stale_after=60.0))
    quick = Ledger(open_backend, clock=clock)
    slow = Ledger(open_backend, clock=clock, stale_after=90.0)
    if is_redis:
        forget_who_is_fresh(any_huey)
    with watched(quick, clock) as go, watched(slow, clock) as step:
        for seconds, found in ((55, (None, None)), (10, (False, None)), (30, (False, False))):
            for _ in range(0, seconds, 5):
                go(5)
                step(0)
            assert (alive(quick), alive(slow)) == found


def test_another_hosts_clock_is_of_no_account(any_huey, open_backend, clock, is_redis):
    """One that says that it is 1970 there, or the year 5000, is judged as any other."""
    reader = Ledger(open_backend, clock=clock)
    for sequence in (1, 2):
        for name, moment in (("past", 0.0), ("future", 1e11)):
            running = (RunningTask(f"task {name}", "tasks.t", moment),)
            record = beat(name, 1, sequence, started=moment, running=running)
            open_ledger(any_huey).write(record) if sequence == 1 else rewrite(open_backend, record)
        reader.snapshot()
        clock.now += 5
    assert [each.alive for each in reader.processes()] == [True, True]
    assert reader.running_ids() == {"task past", "task future"}
    assert reader.fold_dead() == 0
    if is_redis:
        forget_who_is_fresh(any_huey)
    with watched(reader, clock) as go:
        go(130)
        found = [each for each in reader.processes() if each.heartbeat.worker]
        assert [each.alive for each in found] == [False, False]


def rewrite(open_backend, record):
    """As the process itself does, in another ledger object."""
    key, backend = f"process:{record.id}", open_backend()
    assert backend.compare_and_set(key, backend.get(key), record.dump(), 15)


def test_the_silence_of_an_application_tells_nothing(any_huey, open_backend, clock, is_redis):
    """Without a worker a process writes only what is new; it is folded in the end, not lost."""
    process, reader = open_ledger(any_huey), Ledger(open_backend, clock=clock)
    process.write(beat("web", 5, worker=""))
    if is_redis:
        forget_who_is_fresh(any_huey)
    with watched(reader, clock) as go:
        go(200)
        assert alive(reader) is None
        assert reader.heartbeat_numbers() == {}
        go(405)
        assert reader.fold_dead() == 1
    process.write(beat("web", 6, 2, worker=""))
    assert reader.totals() == {DONE: 6}


def test_a_process_of_this_host_is_known_dead_at_once(any_huey, ended):
    """Also by a reader that has never looked before."""
    ledger = open_ledger(any_huey)
    running = (RunningTask("t1", "tasks.t", 0.0),)
    ledger.write(beat("dead", 1, process=ended, running=running))
    ledger.write(
        beat(
            "renumbered",
            1,
            process=replace(this_process(), start_time=this_process().start_time + 1),
        )
    )
    ledger.write(
        beat("me", 1, process=this_process(), running=(RunningTask("t2", "tasks.t", 0.0),))
    )
    reader = open_ledger(any_huey)
    found = {each.heartbeat.id: each.alive for each in reader.processes()}
    assert found == {"dead": False, "renumbered": False, "me": True}
    assert reader.running_ids() == {"t2"}
    assert reader.heartbeat_numbers() == {}


def test_beats_tell_when_all_others_have_said_what_they_run(any_huey, open_backend, clock):
    """The number of each changes with every heartbeat; this process has nothing to wait for."""
    process, reader = open_ledger(any_huey), Ledger(open_backend, clock=clock)
    process.write(beat("me", process=this_process()))
    rewriter = beat("other", sequence=7)
    open_backend().put_if_absent("process:other", rewriter.dump(), 15)
    assert reader.heartbeat_numbers() == {"other": 7}
    rewrite(open_backend, replace(rewriter, sequence=8))
    assert reader.heartbeat_numbers() == {"other": 8}


def test_a_program_that_this_process_was_before_is_dead(any_huey, open_backend):
    """A consumer that restarts itself by exec keeps its process id, and when it was started."""
    backend = open_backend()
    backend.put_if_absent("process:before", beat("before", 4, process=this_process()).dump(), 15)
    ledger = open_ledger(any_huey)
    assert [each.alive for each in ledger.processes()] == [False]
    assert ledger.fold_dead() == 1
    assert ledger.snapshot().totals == {DONE: 4}


def test_tasks_of_one_that_may_only_be_held_up_still_count(any_huey, open_backend, clock, is_redis):
    """Ten minutes long: a process that was stopped for a while goes on with them."""
    running = (RunningTask("t1", "tasks.t", 0.0, ("t2", "t3")), RunningTask("t4", "tasks.t", 0.0))
    open_ledger(any_huey).write(beat("a", running=running))
    reader = Ledger(open_backend, clock=clock)
    assert reader.running_ids() == {"t1", "t2", "t3", "t4"}
    if is_redis:
        forget_who_is_fresh(any_huey)
    with watched(reader, clock) as go:
        go(599)
        assert alive(reader) is False
        assert reader.running_ids() == {"t1", "t2", "t3", "t4"}
        assert reader.fold_dead() == 0
        go(5)
        assert reader.running_ids() == set()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"[]",
        b"[" * 100_000,
        b'{"version":2}',
        b'{"version":1,"id":"x"}',
        b"\x80\x04.",
        beat("another id").dump(),
        beat("x").dump().replace(b"4711", b"-1"),
        beat("x").dump().replace(b'"bounds":[0.005', b'"bounds":[0.006'),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_a_record_that_cannot_be_read_is_told_and_stops_deletions(make_huey, value):
    """It is named, it is left, and nobody says that nothing else is running."""
    huey = make_huey("sqlite")
    ledger = open_ledger(huey)
    ledger.write(beat("a", 2))
    put_kit_data(huey, "process:x", value)
    look = ledger.snapshot()
    assert (look.totals, look.unreadable) == ({DONE: 2}, ["process:x"])
    with pytest.raises(UnreadableLedger, match=r"process:x.*delete them"):
        ledger.running_ids()
    assert ledger.fold_dead() == 0
    assert kit_data(huey)["process:x"] == value


def test_totals_that_cannot_be_read_are_left_and_told(make_huey):
    """Processes go on with their records, and what those have counted is there."""
    huey = make_huey("sqlite")
    put_kit_data(huey, "totals", b"{}")
    ledger = open_ledger(huey)
    ledger.write(beat("a", 2))
    ledger.deregister(beat("b", 3))
    look = ledger.snapshot()
    assert (look.totals, look.unreadable) == ({DONE: 5}, ["totals"])
    assert kit_data(huey)["totals"] == b"{}"


def test_ids_are_found_at_any_depth(make_huey):
    """In the pipeline, the error handler and the chord of a task that is running now."""
    huey, ids, seen = make_huey("memory"), [], []
    ledger = open_ledger(huey)

    def known(task):
        ids.append(task.id)
        return task

    @huey.task()
    def t(n=0):
        seen.append(ledger.running_ids())

    handler = known(t.s())
    handler.error(known(t.s()))
    task = known(t.s()).error(handler)
    stage, last = known(t.s()), known(t.s())
    stage.error(known(t.s()))
    task.then(stage)
    stage.then(last)
    huey.enqueue(task)
    huey.execute(huey.dequeue())
    assert seen == [set(ids)]
    # A heartbeat that is being written may still refer to the tasks.
    wait_until(lambda: ledger.running_ids() == set(), 10, "the end of the tasks to be seen")


def test_ids_of_a_chords_callback_are_found(make_huey):
    """It stands in every member that is running."""
    chord = pytest.importorskip("huey.api").__dict__.get("chord")
    if chord is None:
        pytest.skip("this Huey has no chords")
    huey, seen = make_huey("memory"), []
    ledger = open_ledger(huey)

    @huey.task()
    def t(n=0):
        seen.append(ledger.running_ids())

    callback = t.s()
    after = t.s()
    callback.on_complete = after
    huey.enqueue(chord([t.s(1), t.s(2)], callback))
    huey.execute(huey.dequeue())
    assert {callback.id, after.id} < seen[0]
    assert len(seen[0]) == 3


def test_a_lease_has_one_holder(any_huey):
    """Until it is released, by its holder; it can be renewed meanwhile, and only by him."""
    mine, other = (open_ledger(any_huey).lease("sweep", 60) for _ in range(2))
    another_name = open_ledger(any_huey).lease("tidy", 60)
    assert mine.acquire()
    assert another_name.acquire()
    assert mine.held
    assert not other.acquire()
    assert not other.renew()
    other.release()
    assert mine.renew()
    assert mine.acquire()
    mine.release()
    assert not mine.held
    assert not mine.renew()
    assert other.acquire()


def test_eight_threads_want_a_lease(any_huey, eight_threads):
    """One gets it."""
    got = eight_threads(lambda: open_ledger(any_huey).lease("sweep", 60).acquire())
    assert sorted(got) == [False] * 7 + [True]


def test_a_forked_child_does_not_hold_its_parents_lease(make_huey):
    """It can neither renew it nor take it, nor let it go."""
    huey = make_huey("sqlite")
    lease = open_ledger(huey).lease("sweep", 60)
    assert lease.acquire()
    huey.storage.close()
    child = os.fork()
    if child == 0:
        lease.release()
        os._exit(lease.held or lease.renew() or lease.acquire())
    assert os.waitpid(child, 0)[1] == 0
    assert lease.renew()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def test_a_forked_child_does_not_share_the_connection_of_the_heartbeat(make_huey, kind):
    """Huey's consumer closes the connection before it forks; the heartbeat has opened it again."""
    huey = make_huey(kind)
    if not hasattr(huey.storage, "_conn"):
        pytest.skip("before Huey 3, each thread has a connection")
    kit = install_handlers(huey)
    with huey.lock_task("import"):
        kit.report()  # writes the record, because this process holds a lock
        assert huey.storage._conn is not None
        child = os.fork()
        if child == 0:
            os._exit(huey.storage._conn is not None)
    assert os.waitpid(child, 0)[1] == 0
    assert locks(huey) == set()


def test_a_fork_does_not_wait_for_a_thread_that_uses_the_storage(make_huey):
    """The connection stays open then, as without the kit."""
    huey = make_huey("sqlite")
    if not hasattr(huey.storage, "_conn"):
        pytest.skip("before Huey 3, each thread has a connection")
    kit = install_handlers(huey)
    with huey.lock_task("import"):
        kit.report()  # writes the record, because this process holds a lock
        with huey.storage.db():
            child = os.fork()
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert huey.storage._conn is not None


def test_a_lease_that_is_not_renewed_is_free_after_its_time(
    any_huey, open_backend, clock, is_redis
):
    """By the clock of who waits; its holder learns that he has lost it."""
    lost = Ledger(open_backend, clock=clock).lease("sweep", 60)
    waiting = Ledger(open_backend, clock=clock).lease("sweep", 60)
    assert lost.acquire()
    assert not waiting.acquire()
    clock.now += 59
    assert lost.renew()
    assert not waiting.acquire()
    clock.now += 59
    assert not waiting.acquire()
    clock.now += 1
    assert waiting.acquire()
    assert not lost.held
    assert not lost.renew()
    lost.release()
    assert waiting.renew()
    if is_redis:
        left = any_huey.storage.conn.pttl(f"huey-signals.lease.{any_huey.storage.name}.lease:sweep")
        assert 0 < left <= 60_000


def test_the_lease_of_a_killed_process_of_this_host_is_free_at_once(any_huey, open_backend, ended):
    """Nobody has to wait for what nobody holds."""
    place = [ended.host, ended.pid_namespace, ended.pid, ended.start_time]
    value = json.dumps(["somebody", 1, 3600, place]).encode()
    open_backend().leases.put_if_absent("lease:sweep", value, 3600)
    assert open_ledger(any_huey).lease("sweep", 60).acquire()


def test_a_lease_that_cannot_be_read_blocks_no_longer_than_any(make_huey, open_backend, clock):
    """Somebody else's value under its key is taken over when it has not changed for so long."""
    open_backend().leases.put_if_absent("lease:sweep", b"?", 3600)
    lease = Ledger(open_backend, clock=clock).lease("sweep", 60)
    assert not lease.acquire()
    clock.now += 60
    assert lease.acquire()


def test_a_lease_with_priority_takes_over_one_without_it(any_huey, open_backend):
    """Not the other way round, and not another one with priority."""
    plain, other = (Ledger(open_backend).lease("turn", 60) for _ in range(2))
    first, second = (Ledger(open_backend).lease("turn", 60, has_priority=True) for _ in range(2))
    assert plain.acquire()
    assert not other.acquire()
    assert not first.acquire()
    assert first.acquire(take_over=True)
    assert not plain.renew()
    assert not any(lease.acquire(take_over=True) for lease in (plain, other, second))
    first.release()
    assert plain.acquire()


APPLICATION = """
import signal, sys, threading
from huey_signals_kit import install_handlers
from huey_signals_kit.jobs import heartbeat
from tests.support import Place

heartbeat.HEARTBEAT_SECONDS = heartbeat._FIRST_SECONDS = 3600
huey = Place(*sys.argv[1:4]).open()

class Sink:
    interval = 3600
    def send(self, changes):
        print("sent", flush=True)

install_handlers(huey, sinks=[Sink()])

@huey.task()
def job():
    return None

for _ in range(3):
    job()
sys.stdin.readline()
signal.raise_signal(signal.SIGTERM)  # as uvicorn does when it has shut down
"""


@pytest.mark.skipif(not HAS_ENQUEUED, reason="this Huey does not say so")
@pytest.mark.parametrize("kind", slow_except(["redis"], ["sqlite", "file", "redis"]))
def test_an_application_that_ends_by_a_signal_loses_nothing_and_leaves_no_record(
    make_place, make_huey, kind
):
    """It has written soon after it counted; the next one folds its record, once."""
    place = make_place(kind)
    ledger = open_ledger(make_huey(kind, place.name))

    def enqueued():
        return sum(
            value
            for key, value in ledger.totals().items()
            if key[0] == "huey_signals_total" and key[-1] == "enqueued"
        )

    command = [sys.executable, "-c", APPLICATION, place.kind, place.location, place.name]
    for number in (1, 2, 3):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
            wait_until(lambda: enqueued() == 3 * number, 30, "what was counted")  # noqa: B023
            assert process.stdout.readline() == "sent\n"
            wait_until(lambda: len(ledger.processes()) == 1, 30, "one record")
            assert process.communicate("\n", timeout=30)
        assert process.returncode == -signal.SIGTERM
        (left,) = ledger.processes()
        assert (left.alive, left.gone) == (False, True)
        assert enqueued() == 3 * number
    huey = make_huey(kind, place.name)
    assert report(huey).consumers == []
    with install_handlers(huey) as kit:
        kit.report()
        assert ledger.processes() == []
    assert enqueued() == 9


def _turn_of_scheduler(huey, periodic):
    """One turn of Huey's scheduler, which ends with the rest of a second."""
    scheduler = huey.create_consumer(periodic=periodic)._create_scheduler()
    scheduler._next_loop = time.monotonic() - 0.98
    scheduler.loop()


def test_a_record_names_the_periodic_tasks_that_the_process_enqueues(any_huey):
    """As soon as Huey's scheduler has run; a record without any has no field."""
    if any_huey.storage.__class__.__name__ == "MemoryStorage":
        pytest.skip("no other process sees it")
    any_huey.periodic_task(crontab(month="2", day="30"), name="nightly")(lambda: None)
    with install_handlers(any_huey) as kit:
        kit._heartbeat.on_worker_start()
        _turn_of_scheduler(any_huey, periodic=False)
        kit._heartbeat.write()
        (process,) = open_ledger(any_huey).processes()
        assert process.periodic == ()
        assert b"periodic" not in process.heartbeat.dump()
        _turn_of_scheduler(any_huey, periodic=True)
        kit._heartbeat.write()
        (process,) = open_ledger(any_huey).processes()
        assert process.periodic == (f"{__name__}.nightly",)
