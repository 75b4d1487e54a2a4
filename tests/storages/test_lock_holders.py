"""What may happen to a lock between taking and freeing it, and to whoever names it."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import huey as huey_package
import pytest
from huey import MemoryHuey, SqliteHuey
from huey.api import TaskLock
from huey.exceptions import TaskLockedException
from huey.serializer import Serializer, SignedSerializer

from huey_signals_kit import get_kit, install_handlers, uninstall_handlers
from huey_signals_kit.ledger import Heartbeat, _holder_state, _liveness, open_ledger
from huey_signals_kit.locks import held
from huey_signals_kit.locks.held import held_locks_of, key_of
from huey_signals_kit.locks.patch import LockPatch
from huey_signals_kit.runtime import scheduler as scheduler_module
from huey_signals_kit.runtime.process_id import ProcessId, this_process
from huey_signals_kit.runtime.scheduler import scheduler
from huey_signals_kit.store import UPKEEP, open_kit_store, open_store
from huey_signals_kit.upkeep import LockHeld, LockInspector, Release, release_lock, release_stale
from huey_signals_kit.upkeep.locks import inspection
from huey_signals_kit.upkeep.locks.skip_history import recent_skips, store_skips
from tests.locks import ELSEWHERE, taken_by
from tests.support import run_all, store, wait_until

VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])
LOST = "huey_locks_lost_total"
SKIP = ("huey_lock_skips_total", "q", "job", "held")


def key(huey, name):
    return f"{huey.name}.lock.{name}"


def acquire(lock):
    """`acquire` came with Huey 2.6."""
    return getattr(lock, "acquire", lock.__enter__)()


@pytest.fixture
def beats():
    """`beats()`: the heartbeats on the tick that began in this test."""
    before = scheduler.jobs
    return lambda: [
        each for each in scheduler.jobs if each.name == "heartbeat" and each not in before
    ]


class Json(Serializer):
    """Keeps what it can as JSON."""

    def _serialize(self, data):
        return json.dumps(data).encode() if isinstance(data, str) else super()._serialize(data)

    def _deserialize(self, data):
        return json.loads(data) if data[:1] == b'"' else super()._deserialize(data)


SERIALIZERS = {
    "signed": lambda: SignedSerializer(secret="of nobody"),
    "gzip": lambda: Serializer(compression=True),
    "zlib": lambda: Serializer(compression=True, use_zlib=True),
    "old pickles": lambda: Serializer(pickle_protocol=2),
    "json": Json,
}


@pytest.mark.parametrize("task_id", [None, "ä", "x" * 300, "0" * 56, 'a"b\n', ""])
@pytest.mark.parametrize("serializer", [None, *SERIALIZERS])
def test_whatever_an_id_and_a_serializer_are_the_lock_is_taken_and_freed(
    tmp_path, serializer, task_id
):
    """And names the task wherever Huey's own would read it, twice alike."""
    options = {"serializer": SERIALIZERS[serializer]()} if serializer else {}
    huey, seen = SqliteHuey("q", filename=str(tmp_path / "q.db"), **options), []
    kit = install_handlers(huey)

    @huey.task()
    @huey.lock_task("held")
    def job():
        seen.extend(kit.locks())

    tasks = [job.s() for _ in range(3)]
    for task in tasks:
        task.id = task.id if task_id is None else task_id
        huey.execute(task)
    assert [lock.name for lock in seen] == ["held"] * 3
    if serializer != "json":  # which the kit does not read
        assert [lock.task_id for lock in seen] == [task.id for task in tasks]
        assert {lock.pid for lock in seen} == {os.getpid()}
        assert len({lock.holder.acquisition_id for lock in seen}) == 3
    assert key(huey, "held") not in store(huey)
    assert kit.count(LOST) == 0
    kit.uninstall()


class OnlyMessages(Serializer):
    """Refuses texts that are longer than Huey's own value of a lock."""

    def _serialize(self, data):
        if isinstance(data, str) and len(data) > 1:
            raise ValueError("too long")
        return super()._serialize(data)


def test_a_serializer_that_refuses_names_costs_nobody_a_lock(tmp_path, caplog):
    """It is taken as Huey does, and that is said."""
    huey = SqliteHuey("q", filename=str(tmp_path / "q.db"), serializer=OnlyMessages())
    kit = install_handlers(huey)
    with huey.lock_task("held"):
        assert huey.get(key(huey, "held"), peek=True) == "1"
        with pytest.raises(TaskLockedException), huey.lock_task("held"):
            pass
    assert key(huey, "held") not in store(huey)
    assert kit.locks() == []
    assert "while it named the holder of a lock" in caplog.text
    kit.uninstall()


def test_a_huey_that_takes_locks_in_its_own_way_keeps_it(tmp_path):
    """Nothing is named there."""

    class Own(SqliteHuey):
        def put_if_empty(self, key, data, *rest):
            return super().put_if_empty(key, "mine", *rest)

    huey = Own("q", filename=str(tmp_path / "q.db"))
    kit = install_handlers(huey)
    with huey.lock_task("held") as _:
        (lock,) = kit.locks()
        assert (lock.name, lock.alive, lock.pid) == ("held", None, None)
        assert huey.get(key(huey, "held"), peek=True) == "mine"
    assert kit.locks() == []
    kit.uninstall()


def test_a_lock_class_of_somebodys_own_is_left_alone(make_huey):
    """Only Huey's becomes another."""
    huey = make_huey("sqlite")

    class Own(TaskLock):
        pass

    kit = install_handlers(huey)
    lock = Own(huey, "held")
    with lock:
        assert [each.alive for each in kit.locks()] == [None]
    assert type(lock) is Own
    assert store(huey) == {}


def test_a_patched_lock_class_keeps_its_patch(make_huey, monkeypatch):
    """As an instrumentation puts it there."""
    seen, enter = [], TaskLock.__enter__

    def patched(self):
        seen.append(self._name)
        return enter(self)

    monkeypatch.setattr(TaskLock, "__enter__", patched)
    huey = make_huey("sqlite")
    install_handlers(huey)
    with huey.lock_task("held"):
        pass
    assert seen == ["held"]


def lose(huey, name):
    """As when its ttl is over."""
    assert huey.delete(key(huey, name))


def test_one_that_was_lost_and_taken_again_inside_is_freed_once(any_huey):
    """By the same thread: the inner block frees it, the outer one has nothing to free."""
    kit = install_handlers(any_huey)
    with any_huey.lock_task("held"):
        lose(any_huey, "held")
        with any_huey.lock_task("held"):
            assert len(kit.locks()) == 1
        assert kit.locks() == []
        assert kit.count(LOST) == 0
        any_huey.put_if_empty(key(any_huey, "held"), "another's")
    assert key(any_huey, "held") in store(any_huey)
    assert kit.count(LOST) == 1


def test_a_beat_tells_of_a_lost_one_once(any_huey, caplog):
    """While it is held, and not again at its end."""
    kit = install_handlers(any_huey)
    with any_huey.lock_task("held"), any_huey.lock_task("other"):
        kit._heartbeat._locks.check()
        assert kit.count(LOST) == 0
        lose(any_huey, "held")
        for _ in range(2):
            kit._heartbeat._locks.check()
        assert kit.count(LOST, lock="held") == 1
        assert kit._heartbeat._locks.held() == ("other",)
    assert kit.count(LOST) == 1
    assert store(any_huey) == {}
    kit.flush()
    assert caplog.text.count("Lost 1 lock: 'held' 1.") == 1


@pytest.mark.parametrize("gone", [False, True], ids=["", "the kit has gone by then"])
def test_a_storage_that_fails_as_a_lock_is_freed_frees_it_at_a_later_beat(
    make_huey, beats, gone, monkeypatch
):
    """And the task sees the failure, as it does with Huey alone."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    lock = huey.lock_task("held")
    lock.__enter__()
    conn = huey.storage.conn
    huey.storage.close()
    filename, huey.storage.filename = huey.storage.filename, "/nowhere/at/all.db"
    with pytest.raises(Exception, match="unable to open"):
        lock.__exit__(None, None, None)
    if gone:
        monkeypatch.setattr(scheduler_module, "END_SECONDS", 0.2)
        kit.uninstall()
    huey.storage.filename = filename
    assert conn is not None
    assert lock.is_locked()
    (job,) = beats()
    assert job.run()
    assert not lock.is_locked()
    assert held_locks_of(huey).held == {}
    assert job.run()
    assert len(beats()) == (0 if gone else 1)


def test_many_threads_never_hold_one_lock_together(make_huey):
    """Ten of them, three names, a thousand turns; in the end nothing is left anywhere."""
    huey = make_huey("memory")
    kit = install_handlers(huey)
    inside, seen = {name: threading.Lock() for name in "abc"}, []

    def turns(number):
        for turn in range(100):
            name = "abc"[(number + turn) % 3]
            lock = huey.lock_task(name)
            try:
                acquire(lock)
            except TaskLockedException:
                continue
            seen.append(inside[name].acquire(blocking=False))
            inside[name].release()
            lock.clear() if turn % 2 else lock.__exit__(None, None, None)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(turns, range(10)))
    assert seen
    assert all(seen)
    assert held_locks_of(huey).held == {}
    assert store(huey) == {}
    assert kit.count(LOST) == 0


def test_a_forked_child_holds_nothing_of_its_parents(any_huey):
    """It leaves the block that it was forked in, and its parent's lock stays."""
    if any_huey.storage.__class__.__name__.startswith(("Memory", "Sql", "Postgres")):
        pytest.skip("no child can go on with its parent's connection, or has a copy")
    kit = install_handlers(any_huey)
    with any_huey.lock_task("held"):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                any_huey.lock_task("held").__exit__(None, None, None)
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        (lock,) = kit.locks()
        assert (lock.pid, lock.alive) == (this_process().pid, True)
    assert kit.count(LOST) == 0


def test_a_lock_that_is_held_when_a_huey_turns_immediate_is_freed_where_it_was_taken(make_huey):
    """Huey has another storage then."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    with huey.lock_task("held"):
        huey.immediate = True
        with huey.lock_task("another"):
            assert [lock.name for lock in kit.locks()] == ["another"]
        huey.immediate = False
        assert len(kit.locks()) == 1
        huey.immediate = True
    huey.immediate = False
    assert kit.locks() == []
    assert kit.count(LOST) == 0


def test_a_lock_taken_by_hand_between_two_messages_names_no_task(make_huey):
    """Although the task object of the last one is still there."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)

    @huey.task()
    def job():
        return None

    job()
    task = huey.dequeue()
    huey.execute(task)
    with huey.lock_task("held"):
        assert [lock.task_id for lock in kit.locks()] == [None]


def test_a_refused_lock_says_what_hueys_own_says(any_huey):
    """Word for word: other code may read it."""

    def refusal():
        with pytest.raises(TaskLockedException) as refused, any_huey.lock_task("held"):
            pass
        return str(refused.value)

    with any_huey.lock_task("held"):
        bare = refusal()
        install_handlers(any_huey)
        assert refusal() == bare


@pytest.mark.parametrize("kind", ["redis", "redis-expire"])
def test_a_semaphore_is_listed_with_its_slots(make_huey, kind):
    """Each with its age; and never freed."""
    helpers = pytest.importorskip("huey.contrib.helpers")
    if not hasattr(helpers, "lock_task_semaphore"):
        pytest.skip("this Huey has none")
    huey, seen = make_huey(kind), []
    kit = install_handlers(huey)

    @huey.task()
    @helpers.lock_task_semaphore(huey, "few", 2)
    def job():
        seen.extend(kit.locks())

    job()
    run_all(huey)
    (lock,) = seen
    assert (lock.name, lock.kind, lock.alive, len(lock.slots)) == ("few", "semaphore", None, 1)
    assert 0 <= lock.slots[0] < 60
    assert get_kit(huey).release_stale_locks(min_age=60) == []


def test_acquiring_and_clearing_leaves_nothing_behind(any_huey):
    """No later block is taken for one of these, and no other thread's lock for this one's."""
    kit = install_handlers(any_huey)
    lock = any_huey.lock_task("held")
    acquire(lock)
    lock.clear()
    with lock:
        uninstall_handlers(any_huey)
    assert not lock.is_locked()
    with lock:
        pass
    assert not lock.is_locked()
    assert kit.count(LOST) == 0


def test_a_lost_lock_that_was_taken_often_is_cleared_as_ever(any_huey):
    """One `clear` frees what this process holds, the next whatever is there."""
    install_handlers(any_huey)
    lock = any_huey.lock_task("held")
    for _ in range(5):
        acquire(lock)
        lose(any_huey, "held")
    any_huey.put_if_empty(key(any_huey, "held"), "another's")
    assert not lock.clear()
    assert lock.clear()
    assert store(any_huey) == {}


def test_a_block_whose_lock_another_has_by_now_leaves_it_after_any_number_of_others(make_huey):
    """Of another thread of the same process."""
    huey, there, go_on = make_huey("memory"), threading.Event(), threading.Event()
    install_handlers(huey)

    def successor():
        with huey.lock_task("held"):
            there.set()
            assert go_on.wait(30)

    with ThreadPoolExecutor(1) as pool:
        with huey.lock_task("held") as held:
            held.clear()
            ran = pool.submit(successor)
            assert there.wait(30)
            for number in range(3000):
                with huey.lock_task(f"other {number}") as other:
                    other.clear()
        assert huey.lock_task("held").is_locked()
        go_on.set()
        ran.result()
    assert store(huey) == {}


@pytest.mark.skipif(VERSION < (3, 4), reason="locks have a ttl since Huey 3.4")
def test_locks_whose_ttl_nobody_waits_for_are_forgotten_quietly(make_huey, caplog, monkeypatch):
    """As one throttles calls: taken, and never freed."""
    monkeypatch.setattr(held, "_MAX_LOST", 10)
    huey = make_huey("memory")
    kit = install_handlers(huey)
    for number in range(100):
        acquire(huey.lock_task(f"user {number}", ttl=1))
        lose(huey, f"user {number}")
    with huey.lock_task("held", ttl=1):
        lose(huey, "held")
        for _ in range(3):
            kit._heartbeat._locks.check()
        assert kit._heartbeat._locks.held() == ()
        assert len(held_locks_of(huey).held) == 10
    assert kit.count(LOST) == kit.count(LOST, lock="held") == 1
    kit.flush()
    assert caplog.text.count("Lost 1 lock") == 1


def test_a_kit_comes_and_goes_while_the_storage_is_away(make_huey, caplog):
    """What it cannot do is said, and it leaves nothing on the Huey."""
    huey = make_huey("sqlite")
    before = set(vars(huey))
    install_handlers(huey)
    huey.lock_task("held").__enter__()
    huey.storage.close()
    filename, huey.storage.filename = huey.storage.filename, "/nowhere/at/all.db"
    uninstall_handlers(huey)
    assert "on the locks that are held" in caplog.text
    assert set(vars(huey)) - before <= {"_huey_signals_kit"}
    huey.storage.filename = filename
    kit = install_handlers(huey)
    assert [lock.alive for lock in kit.locks()] == [True]


def test_locks_that_are_held_when_a_kit_is_replaced_keep_their_names(any_huey):
    """Each its own."""
    kit = install_handlers(any_huey)
    with any_huey.lock_task("one"), any_huey.lock_task("two"):
        before = [lock.holder for lock in kit.locks()]
        kit = install_handlers(any_huey, "observe", replace=True)
        assert [lock.holder for lock in kit.locks()] == before
        assert [lock.alive for lock in kit.locks()] == [True, True]
    assert store(any_huey) == {}
    assert kit.count(LOST) == 0


def test_a_process_says_that_it_lives_until_it_has_freed_its_locks(make_huey, beats):
    """Also when its kit has gone; with the last of them that ends as well."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey, sinks="memory")
    huey.task(name="job")(lambda: None)()
    run_all(huey)
    with huey.lock_task("one"), huey.lock_task("two"):
        kit.uninstall()
        (job,) = beats()
        assert job.run()
        (process,) = open_ledger(huey).processes()
        assert process.heartbeat.locks == ("one", "two")
        assert not process.gone
        assert {lock.alive for lock in LockInspector(make_huey("sqlite", huey.name)).all()} == {
            True
        }
    assert job.run()
    assert (beats(), open_ledger(huey).processes()) == ([], [])
    counted = {
        labels[-1]: value
        for (metric, *labels), value in open_ledger(huey).totals().items()
        if metric == "huey_signals_total"
    }
    assert counted["complete"] == 1


def test_what_was_counted_is_in_the_totals_once(make_huey, beats):
    """However often the heartbeat of a kit that has gone ends: by a report, or at a late lock."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey, sinks="memory")
    lock = huey.lock_task("held")
    huey.task(name="job")(lambda: None)()
    run_all(huey)
    for _ in range(2):
        with lock:
            kit.uninstall()
            kit._heartbeat.on_lock_acquired()
            kit.report()
        kit.report()
    assert beats() == []
    totals = open_ledger(huey).totals()
    assert [value for key, value in totals.items() if key[-1] == "complete"] == [1]


def test_what_is_cleared_past_a_kit_that_has_gone_is_not_lost(make_huey, beats):
    """By another object for the same lock, which is Huey's own then."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    acquire(huey.lock_task("held"))
    kit.uninstall()
    assert huey.lock_task("held").clear()
    (job,) = beats()
    assert job.run()
    assert kit.count(LOST) == 0
    assert beats() == []


def test_a_block_from_before_the_kit_leaves_a_lock_that_names_its_holder(make_huey):
    """Its own was over by then, and another process has taken it."""
    huey = make_huey("sqlite")
    install_handlers(huey).uninstall()
    install_handlers(huey)
    lock = huey.lock_task("held")
    uninstall_handlers(huey)
    with lock:
        kit = install_handlers(huey)
        lose(huey, "held")
        taken_by(huey, "held", ELSEWHERE)
        kit._heartbeat.write()
        assert kit._heartbeat._locks.held() == ()
    assert lock.is_locked()
    assert kit.count(LOST) == 0


def test_clearing_what_was_lost_leaves_another_threads_lock(any_huey):
    """Also when a heartbeat has seen the loss before."""
    kit = install_handlers(any_huey)
    first, second = any_huey.lock_task("held"), any_huey.lock_task("held")
    acquire(first)
    lose(any_huey, "held")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(acquire, second).result()
        kit._heartbeat._locks.check()
        first.clear()
        assert second.is_locked()
        pool.submit(second.clear).result()
    assert not second.is_locked()


def test_a_storage_that_is_gone_for_good_is_asked_once(make_huey, beats):
    """Once the last lock was freed, or cannot be; nothing stays on the tick."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    with huey.lock_task("held"):
        kit.uninstall()
        (job,) = beats()
        assert job.run()
    huey.storage.close()
    filename, huey.storage.filename = huey.storage.filename, "/nowhere/at/all.db"
    assert not job.run()
    huey.storage.filename = filename
    assert beats() == []


def test_a_kit_that_comes_later_says_it_instead(make_huey, beats):
    """One heartbeat is enough for all locks of a process."""
    huey = make_huey("sqlite")
    install_handlers(huey).uninstall()
    install_handlers(huey)
    with huey.lock_task("held"):
        uninstall_handlers(huey)
        (old,) = beats()
        kit = install_handlers(huey)
        assert old.run()
        assert old not in beats()
        kit._heartbeat.write()
        assert [each.heartbeat.locks for each in open_ledger(huey).processes()] == [("held",)]


def test_a_lock_that_is_taken_just_as_the_kit_goes_is_claimed(make_huey, beats):
    """The last heartbeat was written between its taking and the note on it."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    storage, put = huey.storage, huey.storage.put_if_empty

    def put_if_empty(*args):
        taken = put(*args)
        kit.uninstall()
        return taken

    storage.put_if_empty = put_if_empty
    with huey.lock_task("held"):
        del storage.put_if_empty
        assert beats()
        assert beats()[0].run()
        assert [each.heartbeat.locks for each in open_ledger(huey).processes()] == [("held",)]
    assert beats()[0].run()
    assert beats() == []


def test_a_lock_is_taken_while_the_kit_goes(make_huey):
    """At any step of that."""
    huey = make_huey("memory")
    kit = install_handlers(huey)
    lock, held_locks = huey.lock_task("held"), held_locks_of(huey)
    forget_manager = held_locks.forget_manager

    def forget():
        with lock:
            forget_manager()
        with lock:
            pass

    held_locks.forget_manager = forget
    with lock:
        pass
    kit.uninstall()
    assert not lock.is_locked()


def test_a_replacement_that_fails_leaves_no_job_behind(make_huey, beats, monkeypatch):
    """The kit that was there is gone then, as if it had been uninstalled."""
    huey = make_huey("sqlite")
    before = scheduler.jobs
    install_handlers(huey)

    def fail(self):
        raise MemoryError

    monkeypatch.setattr(LockPatch, "install", fail)
    with pytest.raises(MemoryError):
        install_handlers(huey, "observe", replace=True)
    assert get_kit(huey) is None
    assert beats() == []
    assert scheduler.jobs == before


def test_locks_of_a_process_without_a_kit_are_its_own_again_under_the_next(any_huey):
    """Each alone: they all have the same value."""
    install_handlers(any_huey).uninstall()
    install_handlers(any_huey)
    locks = [any_huey.lock_task(name) for name in ("one", "two", "three")]
    uninstall_handlers(any_huey)
    with locks[0], locks[1], locks[2]:
        kit = install_handlers(any_huey)
        assert [lock.alive for lock in kit.locks()] == [True, True, True]
        lose(any_huey, "two")
        kit._heartbeat.write()
        assert kit._heartbeat._locks.held() == ("one", "three")
        with pytest.raises(LockHeld):
            kit.release_lock("one")
        assert release_stale(any_huey, dry_run=True) == Release([], [])
    assert not [name for name in store(any_huey) if ".lock." in name]
    assert kit.count(LOST) == 0


def test_a_block_frees_its_lock_whatever_was_held_before(any_huey):
    """This thread had acquired it, another process has cleared it, and then the kit has gone."""
    install_handlers(any_huey)
    lock = any_huey.lock_task("held")
    acquire(lock)
    lose(any_huey, "held")
    uninstall_handlers(any_huey)
    with lock:
        assert lock.is_locked()
    assert not lock.is_locked()


def test_a_loss_is_counted_by_the_kit_that_is_there(make_huey):
    """Not by the one under which the lock was taken."""
    huey = make_huey("sqlite")
    first = install_handlers(huey)
    with huey.lock_task("held"):
        second = install_handlers(huey, "observe", replace=True)
        lose(huey, "held")
    assert (first.count(LOST), second.count(LOST)) == (0, 1)


def test_a_block_that_another_thread_closes_has_nothing_to_free(any_huey):
    """It was cleared in its own; the block of a third keeps its lock."""
    install_handlers(any_huey)
    lock = any_huey.lock_task("held")

    def stream():
        with lock:
            yield

    opened = stream()
    next(opened)
    lock.clear()
    with ThreadPoolExecutor(1) as third, ThreadPoolExecutor(1) as other:
        third.submit(lock.__enter__).result()
        other.submit(opened.close).result()
        assert lock.is_locked()
        third.submit(lock.__exit__, None, None, None).result()
    assert not lock.is_locked()
    uninstall_handlers(any_huey)
    with lock:
        pass
    assert not lock.is_locked()


def test_a_lock_on_a_storage_that_came_later_is_claimed(make_huey):
    """The kit was installed in immediate mode, whose storage nobody shares."""
    huey = make_huey("sqlite")
    huey.immediate = True
    kit = install_handlers(huey)
    huey.immediate = False
    with huey.lock_task("held"):
        wait_until(lambda: open_ledger(huey).processes(), 20, "a heartbeat")
        (process,) = open_ledger(huey).processes()
        assert process.heartbeat.locks == ("held",)
    assert kit.locks() == []


def beats_of(huey):
    """What others read: the number of each heartbeat, and the locks it names."""
    processes = open_ledger(huey).processes()
    return [(each.heartbeat.sequence, each.heartbeat.locks) for each in processes]


def test_a_process_that_turns_immediate_goes_on_saying_that_it_holds_a_lock(make_huey):
    """Others read the lock where it was taken, and would call its holder dead."""
    huey, other = make_huey("sqlite", "q"), make_huey("sqlite", "q")
    kit = install_handlers(huey)
    with huey.lock_task("held"):
        kit._heartbeat._on_tick()
        huey.immediate = True
        kit._heartbeat._on_tick()
        assert beats_of(other) == [(2, ("held",))]
    kit._heartbeat._on_tick()
    assert beats_of(other) == [(3, ())]
    kit._heartbeat._on_tick()
    assert beats_of(other) == [(3, ())]


def test_a_lock_that_immediate_mode_takes_on_a_shared_storage_is_claimed(make_huey):
    """With ``immediate_use_memory=False`` immediate mode takes locks that others see."""
    huey, other = make_huey("sqlite", "q"), make_huey("sqlite", "q")
    huey.immediate_use_memory, huey.immediate = False, True
    kit = install_handlers(huey)
    with huey.lock_task("held"):
        wait_until(lambda: beats_of(other), 20, "a heartbeat")
        assert beats_of(other)[0][1] == ("held",)
    kit.uninstall()
    assert beats_of(other) == []


def test_two_hueys_whose_names_redis_cannot_tell_apart_look_after_locks_of_their_own(make_huey):
    """Their locks differ: neither's turn, nor its marks, are in the way of the other's."""
    hueys = [make_huey("redis", name) for name in ("two.names", "twonames")]
    kits = [install_handlers(huey, stale_locks="release") for huey in hueys]
    for huey in hueys:
        assert huey.put_if_empty(key(huey, "held"), "1")
    for now in (0, 900):
        for huey in hueys:
            done = release_stale(huey, 900, clock=lambda now=now: now)
            assert [lock.name for lock in done.released] == (["held"] if now else [])
    assert [kit._stale_lock_job._lease.acquire() for kit in kits] == [True, True]
    for kit in kits:
        kit._stale_lock_job._lease.release()


@pytest.mark.parametrize("kind", ["redis", "file"])
def test_a_kit_uninstalled_in_a_forked_child_leaves_the_parent_its_lock(make_huey, kind):
    """The child ends a block that the parent has entered."""
    huey = make_huey(kind)
    kit = install_handlers(huey)
    with huey.lock_task("held") as lock:
        pid = os.fork()
        if not pid:
            try:
                kit.uninstall()
                lock.__exit__(None, None, None)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert len(kit.locks()) == 1
    assert kit.count(LOST) == 0


def test_a_lock_whose_store_is_gone_stops_no_heartbeat(make_huey, caplog):
    """Others have to know of the rest that this process does."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    with huey.lock_task("held"), huey.lock_task("other"):
        held_locks = held_locks_of(huey)
        (mine,) = [mine for mine in held_locks.held if key_of(mine).endswith("held")]
        held_locks.held[mine] = (held_locks.held[mine][0], None, True, False)
        kit._heartbeat.write()
        assert open_ledger(huey).processes()[0].heartbeat.locks == ("held", "other")
        assert "on the locks that are held" in caplog.text
        held_locks.held[mine] = (
            held_locks.held[mine][0],
            kit._heartbeat._locks._manager._store,
            True,
            False,
        )


def test_a_memory_store_gives_back_what_it_has_taken_by_mistake():
    """Somebody has it anew between two steps."""
    huey = MemoryHuey("q")
    raw, another = b"raw", b"another"

    class Results(dict):
        def get(self, key, default=None):
            self[key] = another
            return raw

    huey.storage._results = Results(k=raw)
    assert not open_store(huey).compare_and_delete("k", raw)
    assert dict(huey.storage._results) == {"k": another}


def test_a_serializer_that_writes_text_loses_no_lock(make_huey):
    """Redis gives back bytes."""

    class Text(Serializer):
        def _serialize(self, data):
            return data if isinstance(data, str) else super()._serialize(data)

        def _deserialize(self, data):
            return data.decode() if data[:4] == b"held" else super()._deserialize(data)

    huey = make_huey("redis")
    huey.serializer = Text()
    kit = install_handlers(huey)
    with huey.lock_task("held"):
        kit._heartbeat._locks.check()
    assert kit.count(LOST) == 0
    assert store(huey) == {}


def test_a_semaphore_slot_without_a_moment_is_none(make_huey):
    """Whatever somebody has written there."""
    huey = make_huey("redis")
    kit = install_handlers(huey)
    huey.storage.conn.zadd(key(huey, "few"), {"x": float("inf"), "y": 1.0})
    (lock,) = kit.locks()
    assert len(lock.slots) == 1
    json.dumps(lock.as_dict(), allow_nan=False)


def test_skips_are_those_of_about_the_last_hour(make_huey):
    """Older notes tell what had been counted by then."""
    huey, now = make_huey("sqlite"), 1_000_000.0
    ledger = open_ledger(huey)

    def counted(number):
        record = Heartbeat("there", this_process(), sequence=number, counters={SKIP: number})
        ledger.write(record)
        return ledger.snapshot()

    store_skips(open_kit_store(huey, UPKEEP), counted(7), now)
    assert recent_skips(open_kit_store(huey, UPKEEP), counted(9), now + 60)["held"] == 9
    for minutes in range(5, 90, 5):
        store_skips(open_kit_store(huey, UPKEEP), counted(10 + minutes), now + 60 * minutes)
    assert (
        recent_skips(open_kit_store(huey, UPKEEP), counted(200), now + 90 * 60)["held"] == 200 - 40
    )


def test_a_block_that_ends_when_its_lock_is_gone_ends_well(any_huey):
    """One of which nothing is known: it was taken before the kit came, and flushed."""
    with any_huey.lock_task("held"):
        kit = install_handlers(any_huey)
        lose(any_huey, "held")
    assert kit.count(LOST) == 0
    assert kit.locks() == []


def test_what_a_block_acquires_anew_after_it_was_cleared_is_freed_at_its_end(make_huey):
    """And nothing of it is left for a later one."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    lock = huey.lock_task("held")
    with lock:
        lock.clear()
        acquire(lock)
    assert not lock.is_locked()
    uninstall_handlers(huey)
    with lock:
        pass
    assert not lock.is_locked()
    assert kit.count(LOST) == 0


def test_no_block_keeps_its_lock_because_a_kit_comes_or_goes(make_huey):
    """At whatever moment: threads take and free, while kits are replaced and taken off."""
    huey, over = make_huey("redis"), threading.Event()

    def turns(number):
        lock = huey.lock_task(f"lock {number}")
        while not over.is_set():
            with lock:
                pass

    with ThreadPoolExecutor(4) as pool:
        ran = [pool.submit(turns, number) for number in range(4)]
        for number in range(60):
            install_handlers(huey, ("observe", "quiet-locks")[number % 2], replace=True)
            if number % 3 == 0:
                uninstall_handlers(huey)
        over.set()
        for each in ran:
            each.result()
    assert not [name for name in store(huey) if ".lock." in name]


@pytest.mark.skipif(VERSION < (3, 4), reason="locks have a ttl since Huey 3.4")
def test_what_is_throttled_by_a_ttl_is_not_lost(make_huey):
    """It is taken again once the time is over, and that was meant."""
    huey = make_huey("memory")
    kit = install_handlers(huey)
    for _ in range(3):
        acquire(huey.lock_task("limit", ttl=1))
        lose(huey, "limit")
    assert kit.count(LOST) == 0


def test_where_processes_cannot_be_told_apart_heartbeats_tell(make_huey, monkeypatch):
    """Two containers under one host's name, each with a process 1."""
    nowhere = ProcessId(this_process().host, "", 1, 17)
    for module in (inspection, _liveness, _holder_state):
        monkeypatch.setattr(module, "this_process", lambda: nowhere)
    huey, now = make_huey("sqlite"), [0.0]
    watch = LockInspector(huey, open_ledger(huey), lambda: now[0])
    taken_by(huey, "held", nowhere)
    other = open_ledger(make_huey("sqlite", huey.name))
    for sequence in range(1, 9):
        other.write(Heartbeat("there", nowhere, sequence=sequence, locks=("held",)))
        (lock,) = watch.all()
        now[0] += 5
    assert lock.alive is not False
    assert not (lock.alive is None and lock.is_unclaimed)


def test_a_lock_is_not_freed_where_it_could_not_be_told_in_time_who_lives(make_huey):
    """The storage stood still while the heartbeats of another host were waited for."""
    huey, now = make_huey("sqlite"), [0.0]

    def stand_still(seconds):
        now[0] += 100

    taken_by(huey, "held", ELSEWHERE)
    watch = LockInspector(huey, open_ledger(huey), lambda: now[0], stand_still)
    with pytest.raises(LockHeld, match="which may be alive: it has been"):
        release_lock(huey, "held", watch)
    assert huey.lock_task("held").is_locked()
