"""A consumer with greenlets says that it lives also while a task of it does not yield."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

import pytest

from huey_signals_kit import install_handlers
from huey_signals_kit.jobs import native_heartbeat
from huey_signals_kit.jobs.native_heartbeat import NativeHeartbeat
from huey_signals_kit.ledger._ledger import open_backend
from tests.consumer.greenlet_app import EVERY, GATES, declare
from tests.consumer.harness import running_consumer
from tests.selection import slow_except
from tests.servers import redis_server
from tests.support import IS_3_4, KINDS, Place, wait_until

SHARED = [kind for kind in KINDS if kind != "memory"]
FULL = ["--maxmemory-policy", "noeviction"]


@pytest.fixture
def started(tmp_path, monkeypatch):
    """`started(place, every=0.1)` runs the consumer of `greenlet_app` at a place."""
    monkeypatch.setenv(GATES, str(tmp_path))

    @contextmanager
    def start(place, every=0.1):
        monkeypatch.setenv(EVERY, str(every))
        app = "tests.consumer.greenlet_app"
        options = {"worker": "greenlet", "workers": 3, "install": None, "app": app}
        with running_consumer(place, tmp_path / "log", **options) as consumer:
            yield consumer

    return start


def snapshot(huey):
    """What stands in the ledger, None while it is being written."""
    try:
        return open_backend(huey).read()
    except Exception:
        return None


def wait_for_record(huey, consumer):
    """Until the scheduler has written; the id of the process."""
    found = consumer.wait_until(lambda: (s := snapshot(huey)) and list(s.records), "a record")
    return found[0]


def wait_for_changes(huey, consumer, process_id, times=3):
    """Until ``alive:<id>`` has changed so often; whether the record has stayed as it was."""
    before = snapshot(huey)
    seen = {before.alive.get(process_id)}

    def has_changed():
        new = snapshot(huey)
        if new is not None and new.alive.get(process_id) is not None:
            seen.add(new.alive[process_id])
        return len(seen) > times and new

    new = consumer.wait_until(has_changed, "the native thread to write")
    return new.records == before.records


@pytest.mark.parametrize("kind", SHARED)
def test_a_task_that_does_not_yield_is_heard(kind, make_place, make_huey, started, tmp_path):
    """On each storage; the thread's value is gone with the process, and greenlets are unharmed."""
    place = make_place(kind)
    huey = make_huey(kind, place.name)
    tasks = declare(huey)
    with started(place) as consumer:
        process_id = wait_for_record(huey, consumer)
        result = tasks.computes("gate")
        consumer.wait_until((tmp_path / "gate is in").exists, "the task to compute")
        assert wait_for_changes(huey, consumer, process_id)
        (tmp_path / "gate").touch()
        consumer.wait_until(lambda: result.get() == "computed", "its result")
        results = [tasks.answers(number) for number in range(50)]
        for number, each in enumerate(results):
            consumer.wait_until(lambda each=each, n=number: each.get() == n, "an answer")
    assert snapshot(huey).alive == {}
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "rules", slow_except([[], ["-@scripting"]], [[], ["-@scripting"], ["-eval", "-script"]])
)
def test_on_a_redis_that_is_full_or_runs_no_scripts(rules, started, tmp_path):
    """A script may write on a full server; without scripts the value is written plainly."""
    with redis_server(*FULL) as url:
        place = Place("redis", url, "queue")
        huey = place.open()
        conn, tasks = huey.storage.conn, declare(huey)
        conn.execute_command("ACL", "SETUSER", "app", "on", "nopass", "~*", "&*", "+@all", *rules)
        limited = Place("redis", url.replace("://", "://app:x@"), "queue")
        with started(limited) as consumer:
            consumer.wait_until(lambda: snapshot(huey).alive, "the native thread to write")
            tasks.computes("gate")
            consumer.wait_until((tmp_path / "gate is in").exists, "the task to compute")
            (process_id,) = snapshot(huey).alive
            if not rules:
                conn.config_set("maxmemory", 1)
            wait_for_changes(huey, consumer, process_id)
            conn.config_set("maxmemory", 0)
            (tmp_path / "gate").touch()
        huey.storage.pool.disconnect()


def test_forked_children_are_unharmed(make_place, make_huey, started):
    """Each can log and use the storage, although the thread writes all the time."""
    place = make_place("redis")
    huey = make_huey("redis", place.name)
    tasks = declare(huey)
    with started(place, every=0.001) as consumer:
        results = [tasks.forks(10) for _ in range(2)]
        for each in results:
            assert consumer.wait_until(lambda each=each: each.get(), "children", 100) == 10


def test_a_forked_child_has_a_thread_of_its_own(make_place, make_huey, started, tmp_path):
    """It begins with the child's first lock, and writes under the child's own id."""
    place = make_place("redis")
    huey = make_huey("redis", place.name)
    tasks = declare(huey)
    with started(place) as consumer:
        parent = wait_for_record(huey, consumer)
        result = tasks.forks_one_that_locks("gate")
        both = consumer.wait_until(
            lambda: len(alive := snapshot(huey).alive) == 2 and alive, "the child to be heard"
        )
        for process_id in both:
            wait_for_changes(huey, consumer, process_id)
        assert parent in both
        (tmp_path / "gate").touch()
        assert consumer.wait_until(result.get, "the child to end")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_redis_that_hangs_holds_no_process_up(number, started, tmp_path):
    """The consumer ends, with its usual exit code, while the thread waits for an answer."""
    with redis_server() as url:
        # Without a timeout, the default of older clients, bare Huey's workers wait for ever.
        url += "?socket_timeout=5"
        huey = Place("redis", url, "queue").open()
        server = int(huey.storage.conn.info("server")["process_id"])
        with started(Place("redis", url, "queue"), every=0.01) as consumer:
            wait_for_record(huey, consumer)
            os.kill(server, signal.SIGSTOP)
            try:
                consumer.process.send_signal(number)
                # Huey 3.4 interrupts its greenlets, and so itself.
                interrupted = IS_3_4 and number == signal.SIGTERM
                assert consumer.process.wait(30) in ({0, -signal.SIGINT} if interrupted else {0})
            finally:
                os.kill(server, signal.SIGCONT)
        huey.storage.pool.disconnect()


def test_no_native_thread_without_gevent(make_huey):
    """Nothing is started where threads are real ones."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    with huey.lock_task("held"):
        kit._heartbeat.on_worker_start()
        assert kit._heartbeat._native._thread is None


class Writer:
    """Fails each time, and notes what it is asked for."""

    def __init__(self):
        self.calls = []

    def write(self, value):
        self.calls.append(value)
        raise OSError("no")

    def remove(self):
        self.calls.append("removed")

    def close(self):
        self.calls.append("closed")


@pytest.fixture
def native(make_huey, monkeypatch):
    """A `NativeHeartbeat` that takes this process for one of gevent's, and its writer."""
    from gevent import monkey

    monkeypatch.setattr(monkey, "is_module_patched", lambda name: True)
    monkeypatch.setattr(native_heartbeat, "HEARTBEAT_SECONDS", 0.001)
    writer = Writer()
    monkeypatch.setattr(native_heartbeat, "alive_writer", lambda huey, process_id: writer)
    native = NativeHeartbeat(make_huey("sqlite"))
    yield native, writer
    native.stop(1)


def test_what_fails_is_kept_for_the_scheduler(native, caplog, capfd):
    """The thread goes on, logs nothing, and each value differs from all before."""
    heartbeat, writer = native
    heartbeat.start("id")
    wait_until(lambda: len(writer.calls) > 20, 10, "the thread to go on")
    heartbeat.stop(5)
    assert writer.calls[-2:] == ["removed", "closed"]
    values = writer.calls[:-2]
    assert len(set(values)) == len(values)
    assert set(heartbeat.errors) == {"OSError: no"}
    assert len(heartbeat.errors) == 10
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


def test_a_thread_that_cannot_start_stops_nobody(native, monkeypatch):
    """As with a storage that lacks something: the scheduler reports it."""
    heartbeat, _ = native

    def fails(huey, process_id):
        raise AttributeError("no pool")

    monkeypatch.setattr(native_heartbeat, "alive_writer", fails)
    heartbeat.start("id")
    heartbeat.start("id")
    assert list(heartbeat.errors) == ["AttributeError: no pool"]


def test_it_is_started_once_for_each_storage(native):
    """Again when Huey takes another one, and after it was stopped."""
    heartbeat, _ = native
    heartbeat.start("id")
    first = heartbeat._thread
    heartbeat.start("id")
    assert heartbeat._thread is first
    heartbeat._huey.immediate = True
    heartbeat.start("id")
    assert heartbeat._thread is not first
    wait_until(lambda: first.has_ended, 10, "the first to end")
