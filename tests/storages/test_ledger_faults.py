"""What a ledger makes of a server that was restored, flushed, or is unlike Huey's."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from huey.api import Huey
from huey.utils import Error

from huey_signals_kit.expiring._expiry import Expiry
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.ledger import _totals as totals
from huey_signals_kit.ledger._ledger import Ledger
from huey_signals_kit.runtime.process_id import ProcessId
from huey_signals_kit.upkeep import purge_errors
from tests.locks import watched
from tests.support import REDIS_KINDS, delete_kit_data, kit_data, put_kit_data, store, wait_until

ELSEWHERE = ProcessId("another-host", "another boot", 4711, 99)
DONE = ("huey_signals_total", "q", "tasks.t", "complete")


class Clock:
    """A clock that stands still until it is set forward."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def beat(process_id, count=0, sequence=1, **more):
    """A record of another host's worker, unless told otherwise."""
    counters = {DONE: count} if count else {}
    given = {"process": ELSEWHERE, "worker": "thread", "counters": counters, **more}
    return Heartbeat(process_id, sequence=sequence, **given)


class Server:
    """All that one Huey's ledger has, which can be taken and put back as a snapshot is."""

    def __init__(self, huey, is_redis):
        self._huey = huey
        self._hash = f"huey-signals.ledger.{huey.storage.name}" if is_redis else None

    def save(self):
        if self._hash:
            return self._huey.storage.conn.hgetall(self._hash)
        return kit_data(self._huey)

    def restore(self, snapshot):
        if self._hash:
            self.forget_who_is_fresh()
            self._huey.storage.conn.delete(self._hash)
            for key, value in snapshot.items():
                self._huey.storage.conn.hset(self._hash, key, value)
            return
        for key in self.save():
            delete_kit_data(self._huey, key)
        for key, value in snapshot.items():
            put_kit_data(self._huey, key, value)

    def forget_who_is_fresh(self):
        if self._hash:
            name = self._huey.storage.name
            for key in self._huey.storage.conn.scan_iter(f"huey-signals.fresh.{name}.*"):
                self._huey.storage.conn.delete(key)


@pytest.fixture
def server(any_huey, any_kind):
    return Server(any_huey, any_kind in REDIS_KINDS)


@pytest.fixture
def silence(any_huey, server):
    """Has a reader find all silent for so long that it folds them."""

    def silence():
        clock = Clock()
        reader = Ledger(open_ledger(any_huey)._backend, clock=clock)
        server.forget_who_is_fresh()
        with watched(reader, clock) as go:
            go(605)
            return reader.fold_dead()

    return silence


def there(huey):
    """Whose records are shown."""
    return [each.heartbeat.id for each in open_ledger(huey).processes()]


def test_a_process_takes_up_the_older_record_of_a_snapshot(any_huey, server):
    """It is one process as before, it says what it runs, and nothing it counted is lost."""
    ledger = open_ledger(any_huey)
    ledger.write(beat("a", 10))
    snapshot = server.save()
    ledger.write(beat("a", 12, 2))
    server.restore(snapshot)
    ledger.write(beat("a", 13, 3, running=(RunningTask("t1", "tasks.t", 0.0),)))
    assert there(any_huey) == ["a"]
    assert open_ledger(any_huey).running_ids() == {"t1"}
    assert ledger.totals() == {DONE: 13}
    ledger.deregister(beat("a", 15, 4))
    assert (ledger.totals(), there(any_huey)) == ({DONE: 15}, [])


def test_a_process_that_the_snapshot_does_not_know_loses_nothing(any_huey, server):
    """Its record is missing and the totals have not got it: it writes all that it has counted."""
    ledger = open_ledger(any_huey)
    ledger.deregister(beat("gone", 100))
    snapshot = server.save()
    ledger.write(beat("a", 10))
    ledger.write(beat("a", 11, 2))
    server.restore(snapshot)
    ledger.write(beat("a", 12, 3))
    assert (ledger.totals(), len(there(any_huey))) == ({DONE: 112}, 1)
    ledger.deregister(beat("a", 13, 4))
    assert (ledger.totals(), there(any_huey)) == ({DONE: 113}, [])


def test_a_snapshot_that_is_put_back_after_a_flush_doubles_nothing(any_huey, server):
    """Flushed by mistake, and then restored: the record of before the flush is its own again."""
    ledger = open_ledger(any_huey)
    ledger.deregister(beat("gone", 100))
    ledger.write(beat("a", 10))
    snapshot = server.save()
    server.restore({})
    ledger.write(beat("a", 11, 2))
    assert ledger.totals() == {DONE: 11}
    server.restore(snapshot)
    ledger.write(beat("a", 12, 3))
    assert (ledger.totals(), there(any_huey)) == ({DONE: 112}, ["a"])
    server.restore({})
    ledger.write(beat("a", 13, 4))
    assert ledger.totals() == {DONE: 13}


def test_a_snapshot_of_before_it_was_folded_doubles_nothing(any_huey, server, silence):
    """It had gone on in a second record; the first is back, unfolded, and is its own again."""
    ledger = open_ledger(any_huey)
    ledger.write(beat("a", 10))
    snapshot = server.save()
    assert silence() == 1
    ledger.write(beat("a", 12, 2))
    assert (ledger.totals(), there(any_huey)) == ({DONE: 12}, ["a.2"])
    server.restore(snapshot)
    ledger.write(beat("a", 13, 3))
    assert (ledger.totals(), there(any_huey)) == ({DONE: 13}, ["a"])


def test_a_record_that_was_sealed_in_the_snapshot_counts_once(any_huey, server):
    """A second record was begun after it: what the sealed one has is left to who folds it."""
    ledger = open_ledger(any_huey)
    ledger.write(beat("a", 10))
    backend = open_ledger(any_huey)._backend()
    raw = backend.get("process:a")
    assert backend.compare_and_set("process:a", raw, replace(beat("a", 10), sealed=True).dump())
    snapshot = server.save()
    ledger.write(beat("a", 12, 2))
    assert open_ledger(any_huey).fold_dead() == 1
    server.restore(snapshot)
    ledger.write(beat("a", 13, 3))
    assert (ledger.totals(), len(there(any_huey))) == ({DONE: 13}, 1)
    assert open_ledger(any_huey).fold_dead() == 1
    assert ledger.totals() == {DONE: 13}


def test_a_record_that_may_have_been_folded_long_ago_is_never_counted_twice(
    any_huey, silence, monkeypatch
):
    """The totals name only the last that went in: of an older one, they are taken to have it."""
    monkeypatch.setattr(totals, "KEPT", 3)
    ledger = open_ledger(any_huey)
    ledger.write(beat("a", 10))
    assert silence() == 1
    for number in range(2):
        open_ledger(any_huey).deregister(beat(f"b{number}", 100))
    ledger.write(beat("a", 11, 2))
    assert ledger.totals() == {DONE: 211}
    assert silence() == 1
    for number in range(2, 12):
        open_ledger(any_huey).deregister(beat(f"b{number}", 100))
    assert len(totals.try_load_totals(ledger._backend().get("totals")).ids) <= 4
    ledger.write(beat("a", 13, 3))
    assert ledger.totals() == {DONE: 1213}


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happens_to_the_server_nothing_is_counted_twice(make_huey, seed):
    """Beats, folding, snapshots, flushes and restores in any order: one record, and no more."""
    chance, huey = random.Random(seed), make_huey("memory")
    server, ledger, counted, forked = Server(huey, False), open_ledger(huey), 0, False
    saved = [{}]
    for step in range(1, 40):
        what = chance.choice(["beat", "beat", "fold", "save", "restore", "flush"])
        if what == "beat":
            counted += chance.randint(1, 3)
            ledger.write(beat("a", counted, step))
            found = open_ledger(huey).totals()[DONE]
            assert found <= counted if forked else found == counted
            assert len(there(huey)) == 1
        elif what == "fold":
            # What a restored record is folded with, its process cannot know.
            forked = forked or bool(saved[1:])
            clock = Clock()
            reader = Ledger(ledger._backend, clock=clock)
            reader.snapshot()
            clock.now += 700
            reader.fold_dead()
        elif what == "save":
            saved.append(server.save())
        else:
            server.restore(chance.choice(saved) if what == "restore" else {})
        assert open_ledger(huey).snapshot().totals.get(DONE, 0) <= counted


def test_a_restored_record_that_is_folded_at_that_moment_is_not_written_over(make_huey):
    """Between its reading and its replacing another process seals it: that counts, and once."""
    huey = make_huey("memory")
    server, ledger = Server(huey, False), open_ledger(huey)
    ledger.write(beat("a", 10))
    snapshot = server.save()
    ledger.write(beat("a", 12, 2))
    server.restore(snapshot)
    backend, own = ledger._backend(), ledger._own["a"]
    compare_and_set, calls = backend.compare_and_set, []

    def sealed_first(key, old, new, seconds=0):
        calls.append(key)
        if len(calls) == 2:
            assert compare_and_set(key, old, replace(beat("a", 10), sealed=True).dump())
        return compare_and_set(key, old, new, seconds)

    backend.compare_and_set = sealed_first
    own.write(backend, beat("a", 13, 3))
    assert (ledger.totals(), there(huey)) == ({DONE: 13}, ["a.2"])


@pytest.fixture
def unlike_hueys(redis_url):
    """A Huey on a storage that is Redis' by name, with a client that has no scripts."""
    storages = pytest.importorskip("huey.storage")
    pytest.importorskip("redis")

    class Client:
        def __init__(self, conn):
            self._conn = conn

        def __getattr__(self, name):
            if name in ("eval", "pipeline", "register_script"):
                raise AttributeError(f"'GlideClient' object has no attribute {name!r}")
            return getattr(self._conn, name)

    class GlideStorage(storages.RedisStorage):
        def __init__(self, name, **options):
            super().__init__(name, **options)
            self.conn = Client(self.conn)

        def enqueue(self, data, priority=None):
            self.conn.lpush(self.queue_key, data)

        def put_data(self, key, value, is_result=False):
            self.conn.hset(self.result_key, key, value)

        def peek_data(self, key):
            found = self.conn.hget(self.result_key, key)
            return storages.EmptyData if found is None else found

        def pop_data(self, key):
            found = self.peek_data(key)
            self.conn.hdel(self.result_key, key)
            return found

        def delete_data(self, key):
            return self.conn.hdel(self.result_key, key) != 0

    name = f"glide{os.getpid()}"
    huey = Huey(name, storage_class=GlideStorage, url=redis_url, blocking=False)
    yield huey
    huey.flush()
    huey.storage.pool.disconnect()


def test_a_storage_that_is_redis_by_name_only_has_its_ledger_beside_the_results(unlike_hueys):
    """Its client is not redis-py's: Huey's own calls are all that is known to work."""
    ledger = open_ledger(unlike_hueys)
    ledger.write(beat("a", 3, running=(RunningTask("t1", "tasks.t", 0.0),)))
    ledger.write(beat("a", 4, 2, running=(RunningTask("t1", "tasks.t", 0.0),)))
    assert open_ledger(unlike_hueys).running_ids() == {"t1"}
    lease = ledger.lease("sweep", 60)
    assert lease.acquire()
    assert lease.renew()
    ledger.deregister(beat("a", 5, 3))
    assert (ledger.totals(), there(unlike_hueys)) == ({DONE: 5}, [])
    purge = purge_errors(unlike_hueys)
    assert (purge.stopped, purge.deleted) == ("", 0)


@pytest.mark.parametrize("as_hueys", [False, True])
def test_an_error_expires_on_a_storage_that_is_redis_by_name_only(unlike_hueys, as_hueys):
    """By Huey's own calls; what its client has not got is told and holds nothing up."""
    failures = []
    if as_hueys:
        del type(unlike_hueys.storage).put_data

    class JobGroup:
        def every(self, *args, **options):
            pass

    reporter = SimpleNamespace(kit_failed=lambda *failure: failures.append(failure))
    expiry = Expiry(unlike_hueys, JobGroup(), reporter)
    expiry.put("k", Error({"error": "E()", "retries": 0, "task_id": "k"}), 0.001)
    assert set(store(unlike_hueys)) == {"k"}

    def is_gone():
        with suppress(AttributeError):  # the tick tells it
            expiry.delete_due()
        return not store(unlike_hueys)

    wait_until(is_gone, 10, "the error to go")
    assert [where for where, _ in failures] == ["storing an error that expires"] * as_hueys


@pytest.mark.storage("file")
def test_a_file_that_goes_while_it_is_read_is_not_there(make_huey, monkeypatch):
    """Huey looks whether it exists before it opens it; another process may fold in between."""
    huey = make_huey("file")
    backend = open_ledger(huey)._backend()
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    assert backend.get("process:gone") is None
