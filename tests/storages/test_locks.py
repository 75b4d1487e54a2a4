"""Who holds which lock, on every storage, and what is freed when."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import huey as huey_package
import pytest
from huey.exceptions import TaskLockedException

from huey_signals_kit import get_kit, install_handlers, uninstall_handlers
from huey_signals_kit.ledger import Heartbeat, UnreadableLedger, open_ledger
from huey_signals_kit.ledger._backend import StoreBackend
from huey_signals_kit.runtime.process_id import INCARNATION, process_with_pid, this_process
from huey_signals_kit.signals import lock_released, stale_lock_found
from huey_signals_kit.upkeep import (
    LockHeld,
    LockInspector,
    release_lock,
    release_stale,
    sweep_tokens,
)
from huey_signals_kit.upkeep.locks import release
from tests.locks import ELSEWHERE, GONE, key, taken_by, watched
from tests.support import delete_kit_data, kit_data, put_kit_data, run_all, store

VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])
LOST = "huey_locks_lost_total"


def by_decorator(huey, body):
    @huey.task()
    @huey.lock_task("held")
    def job():
        body()

    return job


def by_block(huey, body):
    @huey.task()
    def job():
        with huey.lock_task("held"):
            body()

    return job


def by_call(huey, body):
    @huey.task()
    def job():
        lock = huey.lock_task("held")
        getattr(lock, "acquire", lock.__enter__)()
        body()
        lock.clear()

    return job


WAYS = [by_decorator, by_block, by_call]


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_lock_names_the_task_that_holds_it(any_huey, way, early):
    """Taken in whatever way, before or after the kit came; and is gone with it."""
    seen = []
    if not early:
        install_handlers(any_huey)
    job = way(any_huey, lambda: seen.extend(get_kit(any_huey).locks()))
    kit = install_handlers(any_huey)
    result = job()
    run_all(any_huey)
    (lock,) = seen
    assert (lock.name, lock.kind, lock.alive) == ("held", "lock", True)
    assert (lock.task_id, lock.task_name) == (result.id, f"{__name__}.job")
    assert (lock.host, lock.pid) == (this_process().host, this_process().pid)
    assert kit.locks() == []
    assert key(any_huey, "held") not in store(any_huey)
    job()
    run_all(any_huey)
    assert len(seen) == 2
    assert kit.count(LOST) == 0


def test_a_lock_that_is_taken_outside_of_a_task_names_the_process(any_huey):
    """A web request, say."""
    kit = install_handlers(any_huey)
    with any_huey.lock_task("held"):
        (lock,) = kit.locks()
        assert (lock.task_id, lock.pid, lock.alive) == (None, this_process().pid, True)
        with pytest.raises(TaskLockedException), any_huey.lock_task("held"):
            pass


def test_each_nested_task_is_named_in_immediate_mode(make_huey):
    """And not the one that has called it."""
    huey, seen = make_huey("memory"), {}
    huey.immediate = True
    kit = install_handlers(huey)

    def look():
        seen.update({lock.name: lock.task_name for lock in kit.locks()})

    @huey.task()
    @huey.lock_task("inner")
    def inner():
        look()

    @huey.task()
    @huey.lock_task("outer")
    def outer():
        inner()

    outer()
    assert seen == {"inner": f"{__name__}.inner", "outer": f"{__name__}.outer"}
    assert kit.locks() == []


def replaced(huey, name, value="somebody else's"):
    """As after a ttl, or a release: the lock is another's by now."""
    huey.put(key(huey, name), value)


def test_a_holder_frees_only_what_it_has_taken(any_huey, caplog):
    """What is somebody else's by now stays theirs, and that is said."""
    kit = install_handlers(any_huey)
    with any_huey.lock_task("held"):
        replaced(any_huey, "held")
    assert any_huey.get(key(any_huey, "held"), peek=True) == "somebody else's"
    assert kit.count(LOST, lock="held") == 1
    kit.flush()
    assert "Lost 1 lock: 'held' 1. The ttl of each expired, or another process" in caplog.text


def test_so_does_clear_in_the_process_that_has_taken_it(any_huey):
    """Once: then it clears whatever is there, as Huey does."""
    kit = install_handlers(any_huey)
    lock = any_huey.lock_task("held")
    getattr(lock, "acquire", lock.__enter__)()
    replaced(any_huey, "held")
    assert not lock.clear()
    assert key(any_huey, "held") in store(any_huey)
    assert kit.count(LOST) == 1
    assert lock.clear()
    assert key(any_huey, "held") not in store(any_huey)


def test_clear_elsewhere_frees_whatever_is_there(any_huey):
    """As ever."""
    install_handlers(any_huey)
    taken_by(any_huey, "held", ELSEWHERE)
    assert any_huey.lock_task("held").clear()
    assert store(any_huey) == {}


def test_a_block_that_was_cleared_inside_leaves_its_successors_lock(make_huey):
    """Of another thread of the same process."""
    huey = make_huey("sqlite")
    install_handlers(huey)
    lock, go_on, there = huey.lock_task("held"), threading.Event(), threading.Event()

    def successor():
        with huey.lock_task("held"):
            there.set()
            assert go_on.wait(30)

    with ThreadPoolExecutor(1) as pool:
        with lock:
            lock.clear()
            ran = pool.submit(successor)
            assert there.wait(30)
        assert lock.is_locked()
        go_on.set()
        ran.result()
    assert not lock.is_locked()


def test_a_block_may_be_closed_by_another_thread(make_huey):
    """As frameworks do that move work between threads."""
    huey = make_huey("sqlite")
    install_handlers(huey)
    lock = huey.lock_task("held")
    lock.__enter__()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lock.__exit__, None, None, None).result()
    assert not lock.is_locked()


def test_a_lock_from_before_the_kit_is_freed_at_its_end(any_huey):
    """It names nobody."""
    with any_huey.lock_task("held"):
        kit = install_handlers(any_huey)
        (lock,) = kit.locks()
        assert (lock.alive, lock.pid) == (None, None)
    assert store(any_huey) == {}


@pytest.mark.parametrize("is_taken_again", [False, True])
def test_a_block_from_before_the_kit_frees_no_lock_of_another_process(make_huey, is_taken_again):
    """The kit has seen the lock object since, because it was refused; and the lock was cleared."""
    huey = make_huey("sqlite")
    lock = huey.lock_task("held")
    lock.__enter__()
    install_handlers(huey)
    with pytest.raises(TaskLockedException):
        lock.__enter__()
    if is_taken_again:
        huey.delete(key(huey, "held"))
        taken_by(huey, "held", ELSEWHERE)
    lock.__exit__(None, None, None)
    assert lock.is_locked() is is_taken_again


def test_blocks_that_were_cleared_inside_are_each_closed_once(make_huey):
    """Two of one thread on one lock object, and the third is still open."""
    huey = make_huey("sqlite")
    install_handlers(huey)
    lock = huey.lock_task("held")
    for _ in range(2):
        lock.__enter__()
        assert lock.clear()
    lock.__enter__()
    with ThreadPoolExecutor(1) as pool:  # which of the three a foreign thread closes is unknown
        for _ in range(2):
            pool.submit(lock.__exit__, None, None, None).result()
    assert lock.is_locked()
    lock.__exit__(None, None, None)
    assert not lock.is_locked()


def test_without_the_kit_a_lock_is_as_it_was(any_huey):
    """One that is held when the kit goes names its holder to its end."""
    install_handlers(any_huey)
    lock = any_huey.lock_task("held")
    with lock:
        before = store(any_huey)[key(any_huey, "held")]
        uninstall_handlers(any_huey)
        assert store(any_huey)[key(any_huey, "held")] == before
    assert key(any_huey, "held") not in store(any_huey)
    with lock:
        assert any_huey.get(key(any_huey, "held"), peek=True) == "1"
    assert key(any_huey, "held") not in store(any_huey)


def test_a_kit_that_replaces_another_names_the_locks_of_both(make_huey):
    """A lock that was made under the first is taken under the second."""
    huey = make_huey("sqlite")
    install_handlers(huey)
    lock = huey.lock_task("held")
    kit = install_handlers(huey, "observe", replace=True)
    with lock:
        assert [each.alive for each in kit.locks()] == [True]
    assert store(huey) == {}


def test_a_lock_of_a_process_that_is_gone_is_dead_at_once(any_huey):
    """On this very host."""
    taken_by(any_huey, "held", GONE)
    (lock,) = LockInspector(any_huey).all()
    assert (lock.alive, lock.pid, lock.host) == (False, GONE.pid, GONE.host)


class Clock:
    """Seconds that pass only when somebody waits."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def watching_locks(huey, clock):
    """A watch, and a ledger that it looks at, by that clock."""
    ledger = open_ledger(huey)
    ledger._clock = clock
    ledger._after_fork()
    return LockInspector(huey, ledger, clock, clock.sleep)


def beats(huey, sequence, **more):
    """Another process's heartbeat."""
    other = open_ledger(type(huey)(huey.name, **huey.storage_kwargs))
    other.write(Heartbeat("there", ELSEWHERE, sequence=sequence, **more))


def silenced(huey):
    """As when no heartbeat was written for 15 seconds."""
    if hasattr(huey.storage, "conn") and hasattr(huey.storage.conn, "scan_iter"):
        huey.storage.conn.delete(*huey.storage.conn.scan_iter("huey-signals.fresh.*"))


@pytest.mark.parametrize("has_record", [True, False])
@pytest.mark.parametrize("had_record", [True, False])
def test_a_process_on_another_host_is_dead_after_a_watched_silence(
    make_huey, has_record, had_record
):
    """Whether its record is there or was lost; if it never had one, its lock is nobody's."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE, had_record)
    if has_record:
        beats(huey, 1, locks=("held",))
    with watched(watch._ledger, clock) as go:
        for seconds in (0, 50, 50, 15):
            go(seconds)
            (lock,) = watch.all()
        # A missing record is watched since this was asked about it.
        silent = 115 if has_record else 110
        assert (lock.alive, lock.is_settled, lock.silent) == (None, False, silent)
        assert "counts as dead after 120" in lock.doubt
        go(10)
        (lock,) = watch.all()
    assert lock.is_settled
    assert lock.alive is (False if has_record or had_record else None)
    assert lock.is_unclaimed is not (has_record or had_record)


def test_a_reading_command_never_says_that_a_silent_process_is_dead(make_huey):
    """It cannot write, so it cannot know whether others can."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE)
    beats(huey, 1, locks=("held",))
    before = store(huey), kit_data(huey)
    for _ in range(100):
        clock.sleep(100)
        assert [(each.alive, each.silent) for each in watch.all()] == [(None, None)]
    assert (store(huey), kit_data(huey)) == before
    kept = release_stale(huey, 900, dry_run=True, inspector=watch).kept
    assert "no process watches it" in kept[0].doubt
    assert (store(huey), kit_data(huey)) == before


def test_a_command_watches_by_itself_and_leaves_nothing_behind(make_huey):
    """It writes a record of its own, for as long as it takes to call a process dead."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE)
    beats(huey, 1, locks=("held",), stale_after=30.0)
    began = clock.now
    assert release_lock(huey, "held", watch)
    assert 30 <= clock.now - began <= 45
    assert [each.heartbeat.id for each in open_ledger(huey).processes()] == ["there"]


def test_a_command_releases_what_is_dead_before_it_watches(make_huey):
    """A holder on another host, which it watches for minutes, holds up no other lock."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE)
    beats(huey, 1, locks=("held",), stale_after=30.0)
    taken_by(huey, "dead", GONE)
    released, began = {}, clock.now
    release_stale(
        huey,
        inspector=watch,
        on_release=lambda lock: released.update({lock.name: clock.now - began}),
    )
    assert released["dead"] == 0
    assert 30 <= released["held"] <= 45
    assert not any("lock" in name for name in store(huey))


def test_a_command_believes_a_watcher_that_has_written_since(make_huey):
    """So it need not watch for as long itself; not of a watcher that has ended."""
    huey, clock = make_huey("sqlite"), Clock()
    taken_by(huey, "held", ELSEWHERE)
    beats(huey, 1, locks=("held",))
    watcher = open_ledger(make_huey("sqlite", huey.name))
    watcher._clock = clock
    watcher._after_fork()
    place, sequence = replace(ELSEWHERE, host="a-third-host"), iter(range(1, 1000))

    def heartbeat():
        record = Heartbeat("watcher", place, worker="thread", sequence=next(sequence))
        watcher.write(record, observe=True)

    for _ in range(30):
        heartbeat()
        clock.sleep(5)
    watch = watching_locks(huey, clock)
    clock.sleep(50)
    assert [each.is_settled for each in watch.wait_until_known()] == [False]
    heartbeat()
    for _ in range(28):
        clock.sleep(5)
        heartbeat()
    watch._sleep = lambda seconds: (clock.sleep(seconds), heartbeat())
    began = clock.now
    (lock,) = watch.wait_until_known()
    assert (lock.alive, lock.is_settled) == (False, True)
    assert clock.now - began < 10


@pytest.mark.parametrize("by", ["command", "consumer"])
def test_nothing_is_dead_that_could_not_have_written(make_huey, monkeypatch, by):
    """Whoever watches is refused as well, as on a server that is full."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE)
    beats(huey, 1, locks=("held",))
    monkeypatch.setattr(StoreBackend, "compare_and_set", refuse)
    monkeypatch.setattr(StoreBackend, "put_if_absent", refuse)
    if by == "command":
        (kept,) = release_stale(huey, 900, inspector=watch).kept
        assert "cannot write to the storage to watch: MemoryError('full')" in kept.doubt
        with pytest.raises(LockHeld, match="cannot write to the storage"):
            release_lock(huey, "held", watch)
    else:
        with watched(watch._ledger, clock) as go:
            go(1000)
            assert [each.alive for each in watch.all()] == [None]
    assert key(huey, "held") in store(huey)


def refuse(*args):
    raise MemoryError("full")


def test_a_process_that_goes_on_in_another_record_lives(make_huey):
    """Its old record stands still, and is all that a server set back to an old state has."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE)
    beats(huey, 1, locks=("held",))
    other = open_ledger(make_huey("sqlite", huey.name))
    with watched(watch._ledger, clock) as go:
        for sequence in range(2, 40):
            other.write(Heartbeat("there.2", ELSEWHERE, sequence=sequence, locks=("held",)))
            go(5)
            assert watch.all()[0].alive is not False
        delete_kit_data(huey, "process:there.2")
        assert watch.all()[0].alive is not False


def test_a_program_that_has_become_another_holds_nothing(make_huey):
    """After ``exec`` its process is there, with its number; both hosts see that it is dead."""
    huey = make_huey("sqlite")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        here_too = replace(
            this_process(), pid=process.pid, start_time=process_with_pid(process.pid).start_time
        )
        for place in (here_too, ELSEWHERE):
            taken_by(huey, f"of {place.host}", place, incarnation=7)
            assert LockInspector(huey).named([f"of {place.host}"])[0].alive is not False
            for incarnation, alive in ((6, None), (7, None), (8, False)):
                record = Heartbeat(f"{place.host} {incarnation}", place, incarnation=incarnation)
                open_ledger(huey).write(record)
                (lock,) = LockInspector(huey).named([f"of {place.host}"])
                assert lock.alive is (True if place is here_too and alive is None else alive)
        process.communicate(b"\n")


def test_a_lock_of_version_01_whose_record_is_not_found_stays(make_huey):
    """On SQL and files that version keeps its records elsewhere; its tasks are not known either."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE, incarnation=0)
    for _ in range(3):
        done = release_stale(huey, 900, inspector=watch, clock=lambda: clock.now)
        assert (done.released, done.waiting, [each.name for each in done.kept]) == (
            [],
            [],
            ["held"],
        )
        clock.now += 1000
    with pytest.raises(LockHeld, match=r"it ran version 0\.1 .* make sure that the process"):
        release_lock(huey, "held", watch)
    assert open_ledger(huey).running_ids() == set()
    old = json.loads(Heartbeat("old", ELSEWHERE, worker="thread").dump())
    del old["stale_after"]
    huey.storage.put_data("huey-signals:process:old", json.dumps(old).encode())
    with pytest.raises(UnreadableLedger, match=r"on another-host runs huey-signals-kit 0\.1"):
        open_ledger(huey).running_ids()


def test_nothing_is_freed_while_a_process_of_version_01_lives(make_huey, caplog):
    """Not by a command, a sweep or a consumer, and all say why."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "dead", GONE)
    huey.put_if_empty(key(huey, "bare"), "1")
    old = json.loads(Heartbeat("old", this_process(), worker="thread").dump())
    for field in ("stale_after", "incarnation", "notes"):
        del old[field]
    old["place"][2:] = [os.getppid(), process_with_pid(os.getppid()).start_time]
    put_kit_data(huey, "process:old", json.dumps(old).encode())
    said = f"process {os.getppid()} on .* runs huey-signals-kit 0.1"
    for name in ("dead", "bare"):
        with pytest.raises(LockHeld, match=said):
            release_lock(huey, name, watch)
    done = release_stale(huey, 900, inspector=watch)
    assert (done.released, len(done.kept)) == ([], 1)
    with pytest.raises(UnreadableLedger, match=r"runs huey-signals-kit 0\.1"):
        open_ledger(huey).running_ids()
    huey.put(f"r:{uuid4()}", (None, False))
    assert "runs huey-signals-kit 0.1" in sweep_tokens(huey).stopped
    kit = install_handlers(huey, stale_locks="release")
    kit._heartbeat.on_worker_start()
    kit._heartbeat.write()
    kit._stale_lock_job._on_tick()
    assert re.search(f"On the queue .*, {said}", caplog.text)
    assert {each.name for each in kit.locks()} == {"dead", "bare"}
    delete_kit_data(huey, "process:old")
    kit._stale_lock_job._on_tick()
    assert {each.name for each in kit.locks()} == {"bare"}


def test_one_that_was_never_heard_of_goes_after_two_calls(make_huey):
    """It took the lock before its first heartbeat, and has no record since: nobody claims it."""
    huey, now, clock = make_huey("sqlite"), [1000.0], Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE, beats=False)

    def release(seconds):
        now[0], clock.now = now[0] + seconds, clock.now + seconds
        found = release_stale(huey, 900, inspector=watch, clock=lambda: now[0])
        return len(found.released), len(found.waiting)

    assert release(0) == (0, 1)
    assert release(760) == (0, 1)
    assert release(900) == (1, 0)
    assert key(huey, "held") not in store(huey)


def test_a_record_that_nobody_can_read_may_be_of_the_holder(make_huey):
    """So its lock stays."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE)
    put_kit_data(huey, "process:x", b"what a later version writes")
    for _ in range(3):
        assert [each.alive for each in watch.all()] == [None]
        (kept,) = release_stale(huey, 900, inspector=watch).kept
        assert "cannot read" in kept.doubt
        clock.now += 1000


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_nothing_is_freed_by_name_whose_holder_lives_on_another_host(make_huey, kind):
    """A first look may not know; its heartbeat comes while this waits."""
    huey, clock = make_huey(kind), Clock()
    sequence = iter(range(1, 100))
    watch = watching_locks(huey, clock)
    watch._sleep = lambda seconds: (clock.sleep(seconds), beats(huey, next(sequence)))
    taken_by(huey, "held", ELSEWHERE)
    with pytest.raises(LockHeld, match="process 4711 on another-host, which is alive"):
        release_lock(huey, "held", watch)
    watch._sleep = clock.sleep
    silenced(huey)
    clock.now += 16
    before = clock.now
    assert release_lock(huey, "held", watch)
    assert 120 <= clock.now - before <= 135


def test_a_storage_that_was_away_makes_nobody_dead(make_huey):
    """The keys with a time to live have expired meanwhile; who lives is given time to say so."""
    huey, clock = make_huey("redis"), Clock()
    watch = watching_locks(huey, clock)
    taken_by(huey, "held", ELSEWHERE)
    beats(huey, 1, worker="thread", locks=("held",))
    assert [each.alive for each in watch.all()] == [True]
    silenced(huey)
    clock.now += 1000
    (lock,) = watch.all()
    assert (lock.alive, lock.is_settled) == (None, False)
    watch._sleep = lambda seconds: (clock.sleep(seconds), beats(huey, 2, worker="thread"))
    assert release_stale(huey, 900, inspector=watch).released == []
    assert key(huey, "held") in store(huey)


def test_two_hosts_clocks_are_not_compared(make_huey, monkeypatch):
    """Each remembers for itself since when nobody has claimed a lock."""
    huey = make_huey("sqlite")
    huey.put_if_empty(key(huey, "bare"), "1")
    hosts = [this_process(), replace(this_process(), host="another"), this_process()]
    for host, now, freed in zip(hosts, (1000.0, 9_000_000.0, 1900.0), (0, 0, 1), strict=True):
        monkeypatch.setattr(release, "this_process", lambda host=host: host)
        assert len(release_stale(huey, 900, clock=lambda now=now: now).released) == freed


@pytest.mark.parametrize(
    "mark",
    ['{"bare": {"x": ["d", 1e999]}}', "[" * 99_999, '{"bare": {"x": ["d", %s]}}' % ("9" * 400)],
)
def test_marks_of_somebody_else_delay_no_more_than_a_release(make_huey, mark):
    """Whatever stands there."""
    huey, now = make_huey("sqlite"), [1000.0]
    put_kit_data(huey, f"locks {huey.name}", mark.encode())
    huey.put_if_empty(key(huey, "bare"), "1")
    assert release_stale(huey, 900, clock=lambda: now[0]).released == []
    now[0] += 900
    assert len(release_stale(huey, 900, clock=lambda: now[0]).released) == 1


def test_a_forged_holder_is_no_holder(any_huey):
    """A number that no process has; nothing fails, and the lock goes as one that names nobody."""
    taken_by(any_huey, "held", replace(GONE, pid=10**30))
    (lock,) = LockInspector(any_huey).all()
    assert (lock.alive, lock.pid) == (None, None)
    assert release_lock(any_huey, "held")


def test_what_this_process_does_not_hold_any_more_is_not_held(make_huey):
    """As before it became another program, or when the answer to its taking was lost."""
    huey, clock = make_huey("sqlite"), Clock()
    watch = watching_locks(huey, clock)
    install_handlers(huey)
    with huey.lock_task("mine"):
        taken_by(huey, "left", this_process(), incarnation=INCARNATION)
        assert {each.name: each.alive for each in watch.all()} == {"left": None, "mine": True}
        assert [each.name for each in release_stale(huey, inspector=watch).released] == ["left"]
        assert watch.named(["mine"])[0].alive


def test_release_frees_what_nobody_alive_holds(any_huey):
    """And refuses what a living process holds, by name."""
    kit = install_handlers(any_huey)
    taken_by(any_huey, "dead", GONE)
    any_huey.put_if_empty(key(any_huey, "bare"), "1")
    released = []
    with (
        any_huey.lock_task("mine"),
        lock_released.connected_to(lambda sender, lock: released.append(lock.name)),
    ):
        assert kit.release_lock("dead")
        assert kit.release_lock("bare")
        assert not kit.release_lock("nobody's")
        with pytest.raises(
            LockHeld, match=f"'mine' of .* is held by process {this_process().pid} on"
        ):
            kit.release_lock("mine")
        assert [lock.name for lock in kit.locks()] == ["mine"]
    assert released == ["dead", "bare"]
    assert kit.count("huey_locks_released_total") == 2


def test_a_lock_that_was_taken_anew_since_the_look_is_not_freed(any_huey, monkeypatch):
    """It may be the same process again."""
    watch = LockInspector(any_huey)
    taken_by(any_huey, "held", GONE)
    named = watch.named

    def look_and_lose(names):
        found = named(names)
        any_huey.delete(key(any_huey, "held"))
        taken_by(any_huey, "held", GONE)
        return found

    monkeypatch.setattr(watch, "named", look_and_lose)
    assert not release_lock(any_huey, "held", watch)
    assert key(any_huey, "held") in store(any_huey)


def test_stale_ones_go_at_once_if_dead_and_after_two_calls_if_nobodys(any_huey):
    """Never one that lives, nor one that has changed between the calls."""
    now = [1000.0]
    install_handlers(any_huey)
    taken_by(any_huey, "dead", GONE)
    for name in ("left", "changed"):
        any_huey.put_if_empty(key(any_huey, name), "1")

    def release(**options):
        return release_stale(any_huey, 900, clock=lambda: now[0], **options)

    with any_huey.lock_task("mine"):
        dry = release(dry_run=True)
        assert ([e.name for e in dry.released], len(dry.waiting)) == (["dead"], 2)
        first = release()
        assert [e.name for e in first.released] == ["dead"]
        assert [e.name for e in first.waiting] == ["changed", "left"]
        any_huey.put(key(any_huey, "changed"), "another")
        now[0] += 899
        assert release().released == []
        now[0] += 1
        assert [e.name for e in release().released] == ["left"]
        now[0] += 898
        assert release().released == []
        now[0] += 1
        assert [e.name for e in release().released] == ["changed"]
        assert [e.name for e in LockInspector(any_huey).all()] == ["mine"]


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_a_consumer_releases_no_lock_that_a_process_without_the_kit_may_hold(make_huey, kind):
    """It names no holder; the commands of a person release it, whatever consumers do between."""
    huey, clock, now = make_huey(kind), Clock(), [1000.0]
    huey.put_if_empty(key(huey, "bare"), "1")
    taken_by(huey, "no record", ELSEWHERE, False)
    inspector = watching_locks(huey, clock)

    def release(**options):
        options |= {"inspector": inspector, "clock": lambda: now[0]}
        return [each.name for each in release_stale(huey, 900, **options).released]

    with watched(inspector._ledger, clock) as go:
        for seconds in (0, 50, 50, 50):
            go(seconds)
            inspector.all()
        released = [release()]
        for names in ({"bare", "no record"}, {"bare", "no record"}):
            now[0] += 900
            released.append(release(names=names))
    assert released == [[], [], ["no record"]]
    assert [key for key in kit_data(huey) if key.startswith("locks")] == [f"locks {huey.name}"]
    assert release() == ["bare"]


def test_one_that_nobody_holds_for_a_moment_begins_anew(make_huey):
    """A look that does not find it forgets it."""
    huey, now = make_huey("sqlite"), [1000.0]
    for wanted in (0, 0, 0, 1):
        if wanted or now[0] != 2000.0:
            huey.put_if_empty(key(huey, "bare"), "1")
        found = release_stale(huey, 900, clock=lambda: now[0])
        assert len(found.released) == wanted
        if now[0] == 1000.0:
            huey.delete(key(huey, "bare"))
        now[0] += 1000


def test_the_tick_tells_of_dead_ones_once_and_frees_them_if_asked_to(make_huey, caplog):
    """Counted and announced."""
    for choice, left in (("report", 1), ("release", 0)):
        huey, told = make_huey("sqlite"), []
        kit = install_handlers(huey, stale_locks=choice)
        huey.lock_task("held")  # this process knows the name
        taken_by(huey, "held", GONE)
        with stale_lock_found.connected_to(lambda sender, lock, told=told: told.append(lock)):
            kit._heartbeat.on_worker_start()
            kit._heartbeat.write()
            for _ in range(3):
                kit._stale_lock_job._on_tick()
        assert [lock.name for lock in told] == ["held"]
        assert kit.count("huey_stale_locks_found_total", lock="held") == 1
        assert len(kit.locks()) == left
        assert kit.count("huey_locks_released_total") == 1 - left
        assert f"'held' is held by process {GONE.pid} on" in caplog.text


def test_a_process_that_only_reports_does_not_keep_another_from_releasing(make_huey, monkeypatch):
    """But one that restarts all the time does not keep it from reporting."""
    kits, passed, monotonic = [], [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed[0])
    for choice in ("report", "release"):
        huey = make_huey("redis", "mixed")
        huey.lock_task("held")
        kits.append(install_handlers(huey, stale_locks=choice))
        kits[-1]._heartbeat.on_worker_start()
    taken_by(huey, "held", GONE)

    def counts_after_a_tick():
        for kit in kits:
            kit._heartbeat.write()
            kit._stale_lock_job._on_tick()
        names = ("huey_stale_locks_found_total", "huey_locks_released_total")
        return [[kit.count(name) for kit in kits] for name in names]

    assert counts_after_a_tick() == [[1, 0], [0, 0]]
    passed[0] += 120  # now the second one takes over, and observes
    assert counts_after_a_tick() == [[1, 0], [0, 0]]
    passed[0] += 120
    assert counts_after_a_tick() == [[1, 1], [0, 1]]
    assert kits[0].locks() == []


@pytest.mark.parametrize("wrong", [None, 1, "free", ""])
def test_another_choice_is_refused(make_huey, wrong):
    """When it is given."""
    with pytest.raises((TypeError, ValueError), match="stale_locks= takes 'report' or 'release'"):
        install_handlers(make_huey("memory"), stale_locks=wrong)


@pytest.mark.parametrize(
    ("release", "error", "text"),
    [
        (lambda huey: release_lock(huey, 3), TypeError, "takes the name of a lock, got 3"),
        (lambda huey: release_stale(huey, 1), ValueError, "min_age= of release_stale_locks"),
        (lambda huey: release_stale(huey, 900, "no"), TypeError, "dry_run= of release_stale_locks"),
    ],
)
def test_bad_arguments_release_nothing(make_huey, release, error, text):
    """They are refused by name, before anything is read."""
    huey = make_huey()
    taken_by(huey, "dead", GONE)
    with pytest.raises(error, match=text):
        release(huey)
    assert key(huey, "dead") in store(huey)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no such clock")
def test_the_age_of_an_unclaimed_lock_is_measured_by_a_clock_that_nobody_sets(
    make_huey, monkeypatch
):
    """A wall clock that is put forward does not make it older."""
    huey, real = make_huey("sqlite"), time.time
    huey.storage.put_data(key(huey, "bare"), huey.serializer.serialize("1"))
    assert [each.name for each in release_stale(huey, 60).waiting] == ["bare"]
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)
    assert [each.name for each in release_stale(huey, 60).waiting] == ["bare"]
