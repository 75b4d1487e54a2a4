"""Locks with a ``ttl``: a holder whose time is over leaves the lock of whoever has it by then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import huey as huey_package
import pytest
from huey.exceptions import TaskLockedException

from huey_signals_kit import install_handlers, uninstall_handlers
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.upkeep import LockInspector, release_stale
from tests.consumer.harness import ROOT
from tests.support import KINDS, REDIS_KINDS, run_all, store, wait_until

VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])
LOST = "huey_locks_lost_total"
SAYS_SO = "Lost 1 lock: 'held' 1."

pytestmark = pytest.mark.skipif(VERSION < (3, 4), reason="Huey has ttl= since 3.4")


@pytest.fixture
def removes_fields(redis_url):
    """Whether the server of these tests knows a time to live of a hash's field."""
    import redis

    with redis.Redis.from_url(redis_url) as client:
        return "hexpire" in client.command()


@pytest.fixture(params=REDIS_KINDS)
def kind(request, removes_fields):
    """Each storage that has ``ttl``."""
    if "expire" not in request.param and not removes_fields:
        pytest.skip("this Redis is older than 7.4")
    return request.param


def key(huey):
    return f"{huey.name}.lock.held"


def left(huey):
    """How many seconds are left to the lock; negative for one without an end."""
    storage = huey.storage
    if "Expire" in type(storage).__name__:
        return storage.conn.pttl(storage.result_key(key(huey))) / 1000
    return storage.conn.hpttl(storage.result_key, key(huey))[0] / 1000


def is_over(huey):
    """Wait until the lock's time is over."""
    wait_until(lambda: not huey.lock_task("held").is_locked(), 5, "the ttl to be over")


@pytest.fixture
def pair(kind, make_huey):
    """Two Hueys on one queue, as of two processes, each with a kit."""
    huey = make_huey(kind)
    other = make_huey(kind, huey.name)
    return huey, other, install_handlers(huey), install_handlers(other)


def by_block(lock):
    with lock:
        yield
    yield


def by_call(lock):
    lock.acquire()
    yield
    lock.clear()
    yield


@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen by a heartbeat"])
@pytest.mark.parametrize("way", [by_block, by_call])
def test_a_holder_whose_ttl_is_over_leaves_its_successors_lock(pair, way, seen, caplog):
    """Which keeps its value and its time; that the first has lost it is said and counted."""
    huey, other, kit, others_kit = pair
    steps = way(huey.lock_task("held", ttl=1))
    next(steps)
    is_over(huey)
    with other.lock_task("held", ttl=60):
        if seen:
            kit._heartbeat.write()
        before = store(huey)[key(huey)]
        next(steps)
        assert store(huey)[key(huey)] == before
        assert 50 < left(huey) <= 60
        assert (kit.count(LOST, lock="held"), others_kit.count(LOST)) == (1, 0)
        kit.flush()
        assert caplog.text.count(SAYS_SO) == 1
    assert key(huey) not in store(huey)
    assert others_kit.count(LOST) == 0


def test_blocks_that_do_not_nest_leave_each_others_locks(pair):
    """Two streams in one thread: the first one ends after the second has its lock."""
    huey, _, kit, _ = pair

    def stream(ttl):
        with huey.lock_task("held", ttl=ttl):
            yield

    first, second = stream(1), stream(60)
    next(first)
    is_over(huey)
    next(second)
    first.close()
    assert huey.lock_task("held").is_locked()
    assert kit.count(LOST) == 1
    second.close()
    assert not huey.lock_task("held").is_locked()


def test_a_stream_that_another_thread_has_opened_leaves_this_ones_lock(pair):
    """It is closed here, after its time was over."""
    huey, _, kit, _ = pair

    def stream():
        with huey.lock_task("held", ttl=1):
            yield

    opened = stream()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(next, opened).result()
    is_over(huey)
    with huey.lock_task("held", ttl=60):
        opened.close()
        assert huey.lock_task("held").is_locked()
        assert kit.count(LOST) == 1
    assert not huey.lock_task("held").is_locked()


def test_a_task_whose_lock_has_a_ttl(pair):
    """By the decorator, in a task that takes longer than that: its successor runs to its end."""
    huey, other, kit, _ = pair
    held = other.lock_task("held", ttl=60)

    @huey.task()
    @huey.lock_task("held", ttl=1)
    def slow():
        is_over(huey)
        pool.submit(held.acquire).result()
        return "done"

    result = slow()
    with ThreadPoolExecutor(1) as pool:
        run_all(huey)
    assert result.get() == "done"
    assert held.is_locked()
    (lock,) = kit.locks()
    assert (lock.task_id, lock.alive) == (None, True)  # that of the successor
    assert kit.count(LOST) == 1


def test_one_that_nobody_has_taken_since_is_lost_as_well(pair, caplog):
    """What it guards may have run meanwhile."""
    huey, _, kit, _ = pair
    with huey.lock_task("held", ttl=1):
        is_over(huey)
    assert kit.count(LOST) == 1
    kit.flush()
    assert SAYS_SO in caplog.text
    assert key(huey) not in store(huey)


def test_a_beat_finds_out_while_the_holder_is_at_it(pair, caplog):
    """Once: the end of the block says no more."""
    huey, other, kit, _ = pair
    with huey.lock_task("held", ttl=1):
        is_over(huey)
        with other.lock_task("held", ttl=60):
            for _ in range(2):
                kit._heartbeat.write()
            assert kit.count(LOST) == 1
    assert kit.count(LOST) == 1
    kit.flush()
    assert caplog.text.count(SAYS_SO) == 1


def test_a_lock_that_ends_in_time_is_not_lost(pair):
    """And can be had at once."""
    huey, other, kit, others_kit = pair
    for each in (huey, other, huey):
        with each.lock_task("held", ttl=60):
            kit._heartbeat.write()
    assert (kit.count(LOST), others_kit.count(LOST)) == (0, 0)
    assert store(huey).keys() == set()


def test_another_thread_of_the_same_process_keeps_what_it_has_taken_since(pair):
    """Both have the lock of one name, one after the other."""
    huey, _, kit, _ = pair
    lock, there, go_on = huey.lock_task("held", ttl=1), threading.Event(), threading.Event()

    def successor():
        with huey.lock_task("held", ttl=60):
            there.set()
            assert go_on.wait(30)

    with ThreadPoolExecutor(1) as pool:
        with lock:
            is_over(huey)
            ran = pool.submit(successor)
            assert there.wait(30)
        assert lock.is_locked()
        go_on.set()
        ran.result()
    assert not lock.is_locked()
    assert kit.count(LOST) == 1


def test_the_same_thread_that_takes_it_again_frees_it_once(pair):
    """The inner block ends its own taking, the outer one that was over has nothing to free."""
    huey, other, kit, _ = pair
    with huey.lock_task("held", ttl=1):
        is_over(huey)
        with huey.lock_task("held", ttl=60):
            assert 50 < left(huey) <= 60
        assert key(huey) not in store(huey)
        other.lock_task("held", ttl=60).acquire()
    assert 50 < left(huey) <= 60
    assert kit.count(LOST) == 1


def test_a_lock_with_a_ttl_is_listed_as_any_other(pair):
    """With who holds it, until its time is over: then it is gone, of itself."""
    huey, other, kit, others_kit = pair
    lock = huey.lock_task("held", ttl=2)
    lock.acquire()
    assert 0 < left(huey) <= 2
    for listed in (kit.locks(), others_kit.locks(), LockInspector(other).all()):
        (found,) = listed
        assert (found.name, found.kind, found.task_id) == ("held", "lock", None)
        assert (found.host, found.pid, found.alive) == (this_process().host, os.getpid(), True)
    with pytest.raises(TaskLockedException):
        other.lock_task("held", ttl=60).acquire()
    assert 0 < left(huey) <= 2
    is_over(huey)
    assert kit.locks() == others_kit.locks() == []


def test_a_lock_without_a_ttl_has_no_end(kind, make_huey):
    """Not even where every result has one."""
    huey = make_huey(kind)
    install_handlers(huey)
    with huey.lock_task("held"):
        assert left(huey) < 0


def test_a_kit_that_goes_leaves_the_time_as_it_is(pair):
    """The lock ends when it would have."""
    huey, _, _, _ = pair
    with huey.lock_task("held", ttl=60):
        before = store(huey)[key(huey)]
        uninstall_handlers(huey)
        assert store(huey)[key(huey)] == before
        assert 50 < left(huey) <= 60
    assert key(huey) not in store(huey)


HOLDER = """
import sys, time
from huey_signals_kit import install_handlers
from tests.support import Place
huey = Place(*sys.argv[1:]).open()
install_handlers(huey)
huey.lock_task("held", ttl=3600).acquire()
print("in", flush=True)
time.sleep(600)
"""


def test_one_of_a_killed_process_is_freed_before_its_time(kind, make_place, make_huey):
    """`alive` is False at once; whoever takes it then keeps it."""
    place = make_place(kind)
    huey = make_huey(kind, place.name)
    command = [sys.executable, "-c", HOLDER, place.kind, place.location, place.name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "in\n"
            assert [lock.alive for lock in LockInspector(huey).all()] == [True]
            assert 3500 < left(huey) <= 3600
        finally:
            holder.send_signal(signal.SIGKILL)
    (lock,) = LockInspector(huey).all()
    assert (lock.alive, lock.pid) == (False, holder.pid)
    assert [each.name for each in release_stale(huey).released] == ["held"]
    assert store(huey) == {}


@pytest.mark.parametrize(
    "without", [kind for kind in KINDS if kind not in (*REDIS_KINDS, "memory")]
)
def test_a_storage_without_ttl_says_so_and_nothing_is_taken(make_huey, without):
    """As with bare Huey."""
    huey = make_huey(without)
    kit = install_handlers(huey)
    with pytest.raises(NotImplementedError, match="ttl"):
        huey.lock_task("held", ttl=1).acquire()
    assert kit.locks() == []
    with huey.lock_task("held"):
        assert [lock.alive for lock in kit.locks()] == [True]


@pytest.mark.parametrize("older", [kind for kind in REDIS_KINDS if "expire" not in kind])
def test_so_does_an_older_redis(make_huey, removes_fields, older):
    """It can let keys expire, but no field of a hash."""
    if removes_fields:
        pytest.skip("this Redis is 7.4 or newer")
    test_a_storage_without_ttl_says_so_and_nothing_is_taken(make_huey, older)
