"""Where the kit's own data lie: never where an application meets it, on any storage."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest
from huey import storage as storages
from huey.api import Huey
from huey.serializer import Serializer, SignedSerializer

from huey_signals_kit import Kit, install_handlers
from huey_signals_kit.jobs import stale_locks
from huey_signals_kit.ledger import Heartbeat, open_backend, open_ledger
from huey_signals_kit.runtime.process_id import ProcessId, this_process
from huey_signals_kit.store import UPKEEP, open_kit_store, open_store
from huey_signals_kit.upkeep import StillInUse, forget, forget_record, report
from tests import servers
from tests.locks import taken_by
from tests.support import REDIS_KINDS, hold, kit_data, locks, put_kit_data, store, wait_until

ELSEWHERE = ProcessId("elsewhere", "another space", 7, 1)
DONE = ("huey_signals_total", "q", "tasks.t", "complete")


@pytest.fixture
def used(any_huey):
    """Every kind of data that the kit keeps."""
    return use(any_huey)


def use(huey):
    ledger = open_ledger(huey)
    ledger.deregister(Heartbeat("ended", this_process(), "thread", counters={DONE: 3}))
    put_kit_data(huey, "process:dead", Heartbeat("dead", dead_place(), "thread").dump())
    open_backend(huey).put_alive("dead", b"1")
    assert ledger.lease("another", 60).acquire()
    huey.revoke_by_id(str(uuid.uuid4()))
    huey.put_if_empty(f"{huey.name}.lock.old", "1")
    with install_handlers(huey, preset="brief-locks") as kit:
        kit.sweep_tokens()
        kit.release_stale_locks()
        kit._expiry.put("failed", error(), 600)
    put_kit_data(huey, "skips", b"[]")
    return huey


def dead_place():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    mine = this_process()
    return ProcessId(mine.host, mine.pid_namespace, process.pid, 1)


def error():
    from huey.utils import Error

    return Error({"error": "E()", "retries": 0, "traceback": "", "task_id": "failed"})


def test_nothing_of_the_kits_is_among_the_results(used):
    """Nor is it counted with them; it is there all the same, and survives a flush."""
    assert not [key for key in store(used) if "huey-signals" in key]
    assert used.result_count() == 3  # the token, the lock, and the error that expires
    kept = kit_data(used)
    assert {"totals", "process:dead", "alive:dead", "skips"} <= kept.keys()
    for kind in ("marks:", "locks "):
        assert any(key.startswith(kind) for key in kept)
    used.storage.flush_all()
    assert kit_data(used) == kept


def test_what_is_alive_is_read_with_the_records(any_huey):
    """It goes with the record, and without one a consumer's tidying removes it."""
    backend, ledger = open_backend(any_huey), open_ledger(any_huey)
    ledger.write(Heartbeat("a", ELSEWHERE, "thread"))
    for process_id, value in (("a", b"1"), ("a", b"2"), ("lost", b"1")):
        backend.put_alive(process_id, value)
    found = backend.read()
    assert (set(found.records), found.alive) == ({"a"}, {"a": b"2", "lost": b"1"})
    ledger.fold_dead()
    assert backend.read().alive == {"a": b"2"}
    assert backend.compare_and_delete("process:a", found.records["a"])
    assert backend.read()[1:] == ({}, {})


def test_forgetting_leaves_nothing_of_the_kits(used, any_kind):
    """Results, tokens and locks stay; first it says what it would delete."""
    used.storage.put_data("huey-signals:process:old", b"of version 0.1")
    before = {key: value for key, value in store(used).items() if "huey-signals" not in key}
    would = forget(used, dry_run=True)
    assert would.found["keys of version 0.1 among the results"] == 1
    assert {"records of processes", "totals", "marks of token sweeps"} <= would.found.keys()
    assert kit_data(used)
    done = forget(used)
    assert done.found == would.found
    assert (kit_data(used), store(used)) == ({}, before)
    assert forget(used).keys == 0
    if any_kind in REDIS_KINDS:
        assert not used.storage.conn.keys(f"huey-signals*{used.storage.name}*")
    if any_kind == "file":
        assert not [each for each in os.listdir(used.storage.path) if "huey-signals" in each]


def test_forgetting_one_queue_leaves_the_others(any_kind, make_huey):
    """Also one whose name begins alike, in the same database."""
    one, two = make_huey(any_kind, "shop"), make_huey(any_kind, "shop2")
    use(one), use(two)
    kept = kit_data(two)
    forget(one)
    assert kit_data(two) == kept
    forget(two)


def test_a_living_process_is_named_and_nothing_is_forgotten(make_huey):
    """It would write its record again; one whose life is in doubt is told with what was done."""
    huey = make_huey("redis")
    open_ledger(huey).write(Heartbeat("me", this_process(), "thread"))
    other = make_huey("redis", huey.name)
    with pytest.raises(StillInUse, match=rf"process {os.getpid()} on .* Stop this process"):
        forget(other)
    assert kit_data(huey)
    assert forget(other, dry_run=True).keys


def test_a_silent_process_is_told(make_huey, monkeypatch):
    """On another host nothing says whether it lives."""
    from huey_signals_kit.upkeep import kit_data as module

    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.2)
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.05)
    huey = make_huey("sqlite")
    put_kit_data(huey, "process:away", Heartbeat("away", ELSEWHERE, "thread").dump())
    assert forget(huey).silent == ["process 7 on elsewhere"]
    assert kit_data(huey) == {}


def test_one_record_is_forgotten_and_its_counts_are_kept(make_huey, monkeypatch):
    """That of a process which ended on a host that is gone, and keeps sweeps from deleting."""
    from huey_signals_kit.upkeep import kit_data as module

    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.0)
    huey = make_huey("redis")
    counters = {DONE: 3}
    for name in ("a", "b"):
        record = Heartbeat(name, ELSEWHERE, "thread", counters=counters)
        put_kit_data(huey, f"process:{name}", record.dump())
    put_kit_data(huey, "process:junk", b"junk")
    assert forget_record(huey, "a", dry_run=True)
    assert forget_record(huey, "process:a")
    assert forget_record(huey, "junk")
    assert not forget_record(huey, "none")
    look = open_ledger(huey).snapshot()
    assert ([each.heartbeat.id for each in look.processes], look.totals) == (
        ["b"],
        {DONE: 6},
    )


def test_a_kit_uninstalls_itself_before_it_forgets(any_huey):
    """Else its next heartbeat would write all that again."""
    kit = install_handlers(any_huey)
    any_huey.revoke_by_id(str(uuid.uuid4()))
    kit.sweep_tokens()
    assert kit.forget(dry_run=True).keys
    assert kit.installed
    assert kit.forget().keys
    assert not kit.installed
    assert kit_data(any_huey) == {}


def test_a_kit_that_still_holds_a_lock_says_so(make_huey):
    """Its heartbeat goes on as long as the lock is held."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    hold(huey, "held")
    wait_until(lambda: open_ledger(huey).processes(), 20, "a heartbeat")
    with pytest.raises(StillInUse, match=f"process {os.getpid()} on"):
        kit.forget()
    huey.lock_task("held").clear()


class Odd(Serializer):
    """Writes one value in a new way each time, as gzip does with its clock."""

    def serialize(self, data):
        return super().serialize((uuid.uuid4().hex, data))

    def deserialize(self, data):
        return super().deserialize(data)[1]


def make_foreign(serializer):
    """A storage that the kit does not know: it has Huey's calls, and nothing of Huey's."""
    inner = storages.MemoryStorage("x")

    class Foreign(storages.BaseStorage):
        listed = 0

        def put_data(self, key, value, is_result=False):
            inner.put_data(key, value)

        def put_if_empty(self, key, value):
            return inner.put_if_empty(key, value)

        def result_items(self):
            type(self).listed += 1
            return inner.result_items()

        peek_data, pop_data = inner.peek_data, inner.pop_data
        delete_data, result_store_size = inner.delete_data, inner.result_store_size
        enqueue, dequeue, enqueued_items = inner.enqueue, inner.dequeue, inner.enqueued_items
        scheduled_items, read_schedule = inner.scheduled_items, inner.read_schedule

    return Huey("x", storage_class=Foreign, serializer=serializer)


@pytest.mark.parametrize("serializer", [Serializer(), SignedSerializer(secret="s"), Odd()])
def test_on_an_unknown_storage_huey_can_read_it(serializer):
    """Among the results, where else; and what the heartbeat does lists none of them."""
    huey = make_foreign(serializer)
    ledger, other = open_ledger(huey), open_ledger(huey)
    for number in range(1, 5):
        ledger.write(Heartbeat("a", ELSEWHERE, "thread", sequence=number))
        other.write(Heartbeat("b", ELSEWHERE, "thread", sequence=number))
        assert sorted(each.heartbeat.id for each in other.processes()) == ["a", "b"]
    lease = ledger.lease("sweep", 60)
    assert (lease.acquire(), lease.renew()) == (True, True)
    ledger.deregister(Heartbeat("a", ELSEWHERE, "thread", 0.0, 5, counters={DONE: 2}))
    assert other.totals() == {DONE: 2}
    assert huey.storage.listed == 0
    values = [huey.get(key, peek=True) for key in huey.storage.result_items()]
    assert len(values) == 4  # the totals, one record, the lease, the index
    assert {type(value) for value in values} == {str}
    put_kit_data(huey, "marks:00", bytes(range(256)))
    assert open_kit_store(huey, UPKEEP).get(["huey-signals:marks:00"]) == [bytes(range(256))]
    lease.release()
    other.deregister(Heartbeat("b", ELSEWHERE, "thread"))  # else forget() watches it for 15 seconds
    assert forget(huey).keys
    assert not huey.storage.result_items()


def test_an_entry_of_the_index_that_was_lost_comes_back():
    """Two processes that changed it at one moment can lose one: the next heartbeat writes it."""
    huey = make_foreign(Serializer())
    ledger = open_ledger(huey)
    ledger.write(Heartbeat("a", ELSEWHERE, "thread", sequence=1))
    huey.storage.delete_data("huey-signals:index")
    assert ledger.processes() == []
    ledger.write(Heartbeat("a", ELSEWHERE, "thread", sequence=2))
    assert [each.heartbeat.id for each in ledger.processes()] == ["a"]


OVERRIDES = {
    "enqueue": lambda self, data, priority=None: self.base.enqueue(self, data, priority),
    "put_data": lambda self, key, value, is_result=False: self.base.put_data(
        self, key, value, is_result
    ),
    "peek_data": lambda self, key: self.base.peek_data(self, key),
    "enqueued_items": lambda self, limit=None: self.base.enqueued_items(self, limit),
}


@pytest.mark.parametrize("method", OVERRIDES)
@pytest.mark.parametrize("kind", ["redis", "redis-expire", "sqlite", "file"])
def test_a_subclass_keeps_the_kits_data_where_its_parent_does(kind, method, make_huey):
    """One that overrides a method: nothing is among its results, and no result is read."""
    huey = make_huey(kind)
    base = type(huey.storage)
    mine = type("Mine", (base,), {"base": base, method: OVERRIDES[method]})
    huey.storage.__class__ = mine
    refuse(huey.storage, "result_items")
    ledger = open_ledger(huey)
    ledger.write(Heartbeat("a", ELSEWHERE, "thread"))
    assert [each.heartbeat.id for each in ledger.processes()] == ["a"]
    put_kit_data(huey, "marks:00", b"1")
    assert open_store(huey).get(["huey-signals:marks:00", "huey-signals:process:a"]) == [None] * 2
    huey.storage.__class__ = base
    assert {"process:a", "marks:00"} <= kit_data(huey).keys()
    huey.put("k", "v")
    huey.storage.__class__ = mine
    assert open_store(huey).get(["k"])[0] is not None


def refuse(storage, method):
    def refused(*_):
        raise AssertionError(f"{method}() was called")

    setattr(storage, method, refused)


def test_a_queue_that_a_subclass_keeps_its_way_is_read_by_its_own_calls(make_huey):
    """What keeps tokens alive must not be missed."""
    huey = make_huey("sqlite")

    class Mine(type(huey.storage)):
        def enqueued_items(self, limit=None):
            return [b"mine"]

    huey.storage.__class__ = Mine
    opened = open_store(huey)
    assert (opened.name, list(opened.queued())) == ("sqlite", [[b"mine"]])


def test_immediate_mode_writes_nothing_to_a_shared_storage(make_huey):
    """Also when the mode has been left again, however soon."""
    huey = make_huey("redis")
    kit = install_handlers(huey, sinks="memory")

    @huey.task()
    @huey.lock_task("stock")
    def stock():
        return 1

    for _ in range(2):
        huey.immediate = True
        with huey.lock_task("stock"):
            stock()
        assert stock().get() == 1
        huey.immediate = False
    assert kit.count("huey_lock_skips_total") == 2
    kit.uninstall()
    assert kit_data(huey) == {}
    assert not huey.storage.conn.keys(f"huey-signals*{huey.storage.name}*")


def test_what_is_counted_before_and_after_immediate_mode_is_shared(make_huey, monkeypatch):
    """Only what was counted in it is not."""
    huey = make_huey("redis")
    kit = install_handlers(huey)
    key = ("huey_tokens_cleaned_total", "test", "sweep")

    def counted(number):
        kit._counter.add_many(key[:1] + key[2:], number)
        kit._heartbeat._on_tick()
        totals = open_ledger(huey).totals() if not huey.immediate else {}
        return [value for metric, value in totals.items() if metric[0] == key[0]]

    assert counted(1) == [1]
    huey.immediate = True
    counted(10)
    huey.immediate = False
    kit._heartbeat._on_tick()
    assert counted(100) == [101]


IMMEDIATE = """
import sys, time
from huey import RedisHuey
from huey_signals_kit import install_handlers

huey = RedisHuey("shop", port=int(sys.argv[1]))
install_handlers(huey, sinks="memory")

@huey.task()
@huey.lock_task("stock")
def stock():
    return 1

huey.immediate = True
with huey.lock_task("stock"):
    stock()
huey.immediate = False
"""


def test_without_a_redis_a_run_in_immediate_mode_ends_without_a_traceback():
    """There is nothing to write, so nothing is tried."""
    command = [sys.executable, "-c", IMMEDIATE, str(servers.free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "huey-signals" not in done.stderr


def test_the_report_counts_what_version_0_1_left_among_the_results(make_huey):
    """Nothing reads it, and nothing is hindered by it."""
    huey = make_huey("sqlite")
    for key in ("totals", "process:x", "marks:00"):
        huey.storage.put_data(f"huey-signals:{key}", b"anything")
    found = report(huey)
    assert found.kinds["kit"].keys == 3
    assert found.unreadable.values == 0
    assert found.unreadable.records == []
    with install_handlers(huey) as kit:
        assert isinstance(kit, Kit)
        assert kit.sweep_tokens().stopped == ""


def at_rest(huey):
    """What a consumer does on its own for a while, in this thread."""
    kit = install_handlers(huey, preset="brief-locks", stale_locks="release", sentry=False)
    hold(huey, "held")
    huey.lock_task("declared")
    huey.storage.put_data("declared by nobody", b"1")
    kit._on_worker_start()
    for _ in range(3):
        kit._heartbeat.write()
        kit._heartbeat.observer_lease.held = True
        kit._stale_lock_job._on_tick()
        kit._expiry.delete_due()
    huey.lock_task("held").clear()
    return kit


@pytest.mark.storage("file")
def test_at_rest_no_file_of_a_result_is_looked_for(make_huey, monkeypatch):
    """On files the kit lists its own folder only, and opens what it knows by name."""
    huey = make_huey("file")
    walk, seen = os.walk, []
    monkeypatch.setattr(os, "walk", lambda folder, *more: seen.append(folder) or walk(folder))
    at_rest(huey).uninstall()
    assert seen
    assert not [folder for folder in seen if "results" in os.path.split(folder)[1]]


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_at_rest_a_subclass_that_reads_its_way_is_not_listed(make_huey, kind):
    """Its results can only be read as a whole, by its own calls."""
    huey = make_huey(kind)
    base = type(huey.storage)
    mine = type("Mine", (base,), {"base": base, "peek_data": OVERRIDES["peek_data"]})
    huey.storage.__class__ = mine
    refuse(huey.storage, "result_items")
    at_rest(huey).uninstall()


def test_at_rest_an_unknown_storage_is_not_listed():
    """Nor is one that has nothing but Huey's calls."""
    huey = make_foreign(Serializer())
    at_rest(huey).uninstall()
    assert huey.storage.listed == 0


@pytest.mark.parametrize("kind", ["redis", "redis-expire"])
def test_the_store_is_looked_through_a_few_pages_at_a_time(make_huey, monkeypatch, kind):
    """However many results there are; a dead process's lock that nothing names is found so."""
    monkeypatch.setattr(stale_locks, "_PAGES", 2)
    huey = make_huey(kind)
    for number in range(3000):
        huey.storage.put_data(f"result {number}", b"1" * 100)
    taken_by(huey, "made at run time", dead_place())
    kit = install_handlers(huey, stale_locks="release", sentry=False)
    kit._heartbeat.write()
    opened = type(open_store(huey))
    pages, keys = [], opened.keys

    def counted(store, prefix):
        for page in keys(store, prefix):
            pages[-1] += 1
            yield page

    monkeypatch.setattr(opened, "keys", counted)
    kit._heartbeat.observer_lease.held = True
    while locks(huey):
        pages.append(0)
        kit._stale_lock_job._on_tick()
        assert len(pages) < 100
    assert max(pages) == 2
    while pages[-1]:
        pages.append(0)
        kit._stale_lock_job._on_tick()
    assert len(pages) > 3
    pages.append(0)
    kit._stale_lock_job._on_tick()
    assert pages[-1] == 0
    kit.uninstall()
