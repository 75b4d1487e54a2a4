"""An error that expires: there at once, small, and gone in time, on every storage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import huey as huey_package
import pytest
from huey import serializer as serializers
from huey.exceptions import TaskException, TaskLockedException
from huey.storage import MemoryStorage, SqliteStorage
from huey.utils import Error

from huey_signals_kit import DROP, Registry, expire, install_handlers, signals
from huey_signals_kit.expiring import _expiry, _files
from huey_signals_kit.expiring._entry import Entry
from huey_signals_kit.handlers import expire_lock_errors
from huey_signals_kit.jobs import heartbeat
from huey_signals_kit.ledger import open_ledger
from huey_signals_kit.runtime.scheduler import scheduler
from tests.consumer.harness import ROOT, running_consumer
from tests.support import KINDS, hold, results, run_all, store, stored_errors, wait_until

VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])
chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")


class Busy(Exception):
    """A task's own name for a lock that it did not get."""


@pytest.fixture
def quick(monkeypatch):
    """The process looks for what is due twenty times a second, and waits for nothing else."""
    monkeypatch.setattr(_expiry, "DELETE_SECONDS", 0.05)
    monkeypatch.setattr(_files, "_GRACE_MS", 0)


def declare(huey, lock="held", **options):
    """Two tasks that need a lock, which somebody else has; the second has its own error."""

    @huey.task(**options)
    @huey.lock_task(lock)
    def guarded(*_):
        return "done"

    @huey.task(**options)
    def wrapped(*_):
        try:
            huey.lock_task(lock).__enter__()
        except TaskLockedException as exc:
            raise Busy("busy") from exc

    hold(huey, lock)
    return guarded, wrapped


def left(huey):
    """The result store but for locks and the ledger, and what the kit keeps outside of it."""
    others = (".lock.", *(f"huey-signals:{each}" for each in ("process:", "totals", "lease:")))
    found = {key for key in store(huey) if not any(each in key for each in others)}
    storage = huey.storage
    if hasattr(storage, "queue_key"):
        found |= set(storage.conn.keys(f"huey-signals.expiring.*{storage.name}*"))
    folder = Path(getattr(storage, "path", "/nowhere"), _files.FOLDER)
    return found | {path for path in folder.rglob("*") if path.is_file()}


def expiring(seconds):
    """A preset that lets lock errors expire."""
    registry = Registry("expiring")
    registry.add(expire_lock_errors(seconds), "locked", "error")
    return registry


def gone(huey, timeout=20):
    """Waits until there is nothing left."""
    return wait_until(lambda: not left(huey), timeout, "everything to be removed")


def past_due(huey):
    """Waits until the last of the stored errors should be gone."""
    due = max(metadata["expires"] for metadata in stored_errors(huey).values())
    wait_until(lambda: time.time() > due + 0.01, 20, "the time to be over")


def test_the_caller_learns_which_lock_was_busy(any_huey):
    """By Huey's own exception, whether the lock error came by itself or wrapped."""
    install_handlers(any_huey, preset="brief-locks")
    for task in declare(any_huey):
        result = task()
        run_all(any_huey)
        with pytest.raises(TaskException, match="held"):
            result.get(blocking=True, timeout=5)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "redis-expire"])
def test_a_caller_who_waits_already_is_woken(make_huey, kind):
    """It was blocked before the task ran."""
    notify = {"notify_result": True} if "redis" in kind and VERSION >= (3, 0) else {}
    huey = make_huey(kind, **notify)
    install_handlers(huey, preset="brief-locks")
    result = declare(huey)[0]()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(result.get, blocking=True, timeout=30)
        run_all(huey)
        assert "held" in str(waiting.exception(30))


@pytest.mark.parametrize("which", [0, 1], ids=["plain", "wrapped"])
@pytest.mark.parametrize(
    ("lock", "told"),
    [
        ("held", "held"),
        ("h" * 500, "h" * 20),
        ("é" * 500, "é" * 20),
        ("錠" * 500, "錠" * 20),
        ("😀" * 500, "😀" * 20),
        ("\\'\"" * 200, "\\\\"),
    ],
    ids=["short", "long", "two bytes", "three bytes", "four bytes", "escaped"],
)
def test_the_entry_is_small_and_names_the_lock(make_huey, lock, told, which):
    """Under 300 bytes as Huey serializes it, whatever the name, with the time it expires."""
    huey = make_huey()
    install_handlers(huey, preset="brief-locks")
    result, before = declare(huey, lock)[which](), time.time()
    run_all(huey)
    metadata = stored_errors(huey)[result.id]
    assert len(store(huey)[result.id]) < 300
    assert told in metadata["error"]
    assert (metadata["traceback"], metadata["task_id"]) == ("", result.id)
    assert before + 60 <= metadata["expires"] <= time.time() + 60


def test_an_endless_text_of_a_real_error_is_cut(make_huey):
    """Also one of a handler's ``expire``, about an error that is none of a lock."""
    huey = make_huey()
    kit = install_handlers(huey, preset=[])
    kit.on("error")(lambda event: expire(60))

    @huey.task()
    def fails():
        raise ValueError("é" * 10_000)

    result = fails()
    run_all(huey)
    assert len(store(huey)[result.id]) < 300
    assert stored_errors(huey)[result.id]["error"].startswith("ValueError('éé")


def test_all_is_gone_in_time_and_not_before(any_huey, quick):
    """The task's error and that of each later stage, and whatever was noted about them."""
    install_handlers(any_huey)
    guarded, wrapped = declare(any_huey, lock_errors=0.3)
    any_huey.enqueue(guarded.s().then(wrapped).then(guarded))
    wrapped()
    run_all(any_huey)
    stored = stored_errors(any_huey)
    assert len(stored) == (4 if VERSION >= (3, 4) else 2)
    due = [metadata["expires"] for metadata in stored.values()]
    wait_until(lambda: not stored_errors(any_huey), 20, "the errors to be removed")
    assert time.time() > max(due) - 0.01
    gone(any_huey)


def test_the_lock_errors_of_many_tasks_go_in_one_look(any_huey):
    """In batches, but all of them."""
    kit = install_handlers(any_huey, preset=[])
    for number in range(250):
        kit._expiry.put(f"id{number}", Error({"error": "busy"}), 0.01)
    time.sleep(0.05)
    kit._expiry.delete_due()
    assert stored_errors(any_huey) == {}


def test_a_success_that_is_stored_later_stays(any_huey):
    """The same task runs again and gets its lock: the time of its error means nothing now."""
    kit = install_handlers(any_huey)
    guarded, _ = declare(any_huey, lock_errors=0.3)
    task = guarded.s()
    any_huey.enqueue(task)
    run_all(any_huey)
    (due,) = (metadata["expires"] for metadata in stored_errors(any_huey).values())
    any_huey.flush_locks("held")
    any_huey.enqueue(task)
    run_all(any_huey)
    wait_until(lambda: time.time() > due + 0.1, 20, "the time to be over")
    kit._expiry.delete_due()
    assert results(any_huey) == {task.id: "done"}
    assert left(any_huey) == {task.id}


def test_a_later_error_has_its_own_time(any_huey):
    """The first one's time is over, the second one's is not."""
    kit = install_handlers(any_huey)
    guarded, _ = declare(any_huey, lock_errors=0.1)
    task = guarded.s()
    any_huey.enqueue(task)
    run_all(any_huey)
    first = stored_errors(any_huey)[task.id]["expires"]
    task.lock_errors = type(task).lock_errors = 60
    any_huey.enqueue(task)
    run_all(any_huey)
    wait_until(lambda: time.time() > first + 0.1, 20, "the first time to be over")
    kit._expiry.delete_due()
    assert stored_errors(any_huey)[task.id]["expires"] > first + 50


def test_a_result_that_was_read_leaves_nothing_behind(any_huey, quick):
    """Huey deletes what is read, on most storages; what was noted goes in its time."""
    install_handlers(any_huey)
    result = declare(any_huey, lock_errors=0.3)[0]()
    run_all(any_huey)
    with pytest.raises(TaskException):
        result.get()
    gone(any_huey)


def test_a_flush_breaks_nothing(any_huey, quick):
    """The user empties the whole storage while errors are to expire."""
    kit = install_handlers(any_huey)
    guarded, _ = declare(any_huey, lock_errors=0.3)
    guarded()
    run_all(any_huey)
    any_huey.storage.flush_all()
    gone(any_huey)
    assert kit.count("huey_handler_errors_total") == 0


def test_switching_to_immediate_mode_and_back(any_kind, make_huey, quick):
    """Each storage is asked as it comes, and what waits in one is removed when it is back."""
    huey = make_huey(any_kind)
    install_handlers(huey)
    guarded, _ = declare(huey, lock_errors=0.3)
    guarded()
    run_all(huey)
    huey.immediate = True
    hold(huey, "held")
    guarded()
    assert len(stored_errors(huey)) == 1
    gone(huey)
    huey.immediate = False
    gone(huey)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "worker"),
    [
        *((kind, "thread") for kind in KINDS if kind != "memory"),
        pytest.param("redis", "process", marks=pytest.mark.slow),
    ],
)
def test_another_process_removes_what_a_killed_one_has_stored(
    make_place, make_huey, tmp_path, kind, worker
):
    """``kill -9`` right after it was stored; then a consumer starts."""
    if kind == "file" and VERSION < (3, 4):
        pytest.skip("a bare consumer of Huey before 3.4 may hang in its own FileLock for ever")
    place = make_place(kind)
    huey = make_huey(kind, place.name)
    arguments = [kind, place.location, place.name, "1.5"]
    command = [sys.executable, "-m", "tests.storages.expiring_writer", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        task_id = writer.stdout.readline().strip()
        os.kill(writer.pid, signal.SIGKILL)
    assert set(stored_errors(huey)) == {task_id}
    log, install = tmp_path / "consumer.log", {"preset": "brief-locks"}
    with running_consumer(place, log, worker=worker, workers=1, install=install) as consumer:
        consumer.wait_until(lambda: not left(huey), "the error to be removed")


def looks(kit):
    """Whether it looks for what has expired, now and then."""
    return "expired errors" in [job.name for job in kit._jobs._jobs]


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_consumer_with_such_a_task_looks_from_its_start(make_huey, kind):
    """The preset need not let anything expire: the option of a declared task is enough."""
    plain, optional = make_huey(kind), make_huey(kind)
    kits = [install_handlers(huey) for huey in (plain, optional)]
    declare(plain), declare(optional, lock_errors=60)
    for huey, kit in zip((plain, optional), kits, strict=True):
        assert not looks(kit)
        for hook in huey._startup.values():
            hook()
    assert [looks(kit) for kit in kits] == [False, True]


def wrapping(huey):
    """Other code has put its own ``put_result`` on the instance."""
    inner = huey.put_result
    huey.put_result = lambda key, data: inner(key, data)


def test_a_put_result_of_the_users_is_called_and_the_error_expires(any_huey, quick):
    """It stores the error, small as it is then, and the time is set afterwards."""
    wrapping(any_huey)
    install_handlers(any_huey)
    result = declare(any_huey, lock_errors=0.3)[0]()
    run_all(any_huey)
    assert len(store(any_huey)[result.id]) < 300
    wait_until(lambda: not stored_errors(any_huey), 20, "the error to be removed")
    gone(any_huey)


def test_a_put_result_that_stores_no_lock_error_loses_no_older_result(any_huey, quick):
    """Nothing expires but the error itself: here, what the task returned another time."""

    def picky(key, data):
        return None if isinstance(data, Error) else inner(key, data)

    inner, any_huey.put_result = any_huey.put_result, picky
    install_handlers(any_huey)
    guarded, _ = declare(any_huey, lock_errors=0.01)
    task = guarded.s()
    any_huey.put_result(task.id, "an older one")
    any_huey.enqueue(task)
    run_all(any_huey)
    with pytest.raises(AssertionError, match="in vain"):
        wait_until(lambda: task.id not in store(any_huey), 0.3, "a loss")
    assert results(any_huey) == {task.id: "an older one"}


class Upside(SqliteStorage):
    """A storage of the user's, which writes values in its own way."""

    def put_data(self, key, value, is_result=False):
        super().put_data(key, value[::-1], is_result)

    def peek_data(self, key):
        found = super().peek_data(key)
        return found[::-1] if isinstance(found, bytes) else found


class Foreign(MemoryStorage):
    """A storage of the user's, of which the kit knows only Huey's calls."""

    def put_data(self, key, value, is_result=False):
        super().put_data(key, value, is_result)


@pytest.mark.parametrize("storage", [Upside, Foreign])
def test_on_a_storage_of_the_users_this_process_removes_it(tmp_path, quick, storage):
    """By Huey's public calls alone."""
    options = {"filename": str(tmp_path / "x.db")} if storage is Upside else {}
    huey = huey_package.Huey("own", storage_class=storage, **options)
    with install_handlers(huey, preset=[]) as kit:
        kit._expiry.put("one", Error({"error": "busy"}), 0.3)
        with pytest.raises(TaskException, match="busy"):
            huey.result("one", preserve=True)
        wait_until(lambda: not store(huey), 20, "it to be removed")
    huey.storage.close()


def test_a_storage_unlike_hueys_still_stores_it(make_huey, quick, caplog):
    """One that lacks what the kit counts on: that is logged, and Huey's own way is taken."""
    huey = make_huey("redis")
    install_handlers(huey)
    declare(huey, lock_errors=0.3)[0]()
    pool = huey.storage.pool
    del huey.storage.pool
    run_all(huey)
    assert len(stored_errors(huey)) == 1
    assert "The kit itself failed storing an error that expires" in caplog.text
    gone(huey)
    huey.storage.pool = pool


def test_a_storage_that_fails_does_so_as_without_the_kit(make_huey):
    """The exception of the storage comes through, and nothing is counted."""
    raised = []
    for with_kit in (False, True):
        huey = make_huey("sqlite")
        kit = install_handlers(huey, preset="brief-locks") if with_kit else None

        @huey.task()
        def breaking(huey=huey):
            huey.storage.sql("alter table kv rename to gone")
            raise TaskLockedException("unable to acquire lock held")

        breaking()
        with pytest.raises(Exception, match="no such table: kv") as failure:
            run_all(huey)
        raised.append(type(failure.value))
        huey.storage.sql("alter table gone rename to kv")
    assert raised[0] is raised[1]
    assert kit.count("huey_results_suppressed_total") == 0


def test_it_is_counted_and_announced(make_huey):
    """As every error that is not stored as Huey would have stored it."""
    huey, told = make_huey(), []
    kit = install_handlers(huey, preset="brief-locks")

    def subscriber(sender, **payload):
        told.append(payload["verdict"])

    with signals.result_suppressed.connected_to(subscriber, sender=huey):
        declare(huey)[0]()
        run_all(huey)
    assert told == [expire(60)]
    assert kit.count("huey_results_suppressed_total", verdict="expire") == 1


@chord_only
def test_a_part_of_a_chord_does_not_expire(make_huey):
    """It is small, as ever, and Huey removes it when the callback is due."""
    huey, seen = make_huey(), []
    install_handlers(huey, preset="brief-locks")
    guarded, wrapped = declare(huey)
    callback = huey.task(name="callback")(seen.extend)
    huey.enqueue(huey_package.chord([guarded.s(), wrapped.s()], callback.s()))
    run_all(huey)
    assert len(seen) == 2
    assert not any("expires" in getattr(part, "metadata", {}) for part in seen)
    assert all("expires" in metadata for metadata in stored_errors(huey).values())


def test_handlers_with_the_same_time_are_one(make_huey):
    """As a preset may be included twice."""
    assert expire_lock_errors(30) == expire_lock_errors(30.0) != expire_lock_errors(60)
    kit = install_handlers(make_huey(), preset=["brief-locks", "brief-locks"])
    assert [handler.name for handler in kit.handlers].count(
        "huey_signals_kit.handlers.locks.ExpireLockErrors"
    ) == 1


def test_an_unnamed_lock_error_expires_as_well(make_huey):
    """A task may raise Huey's exception without a word."""
    huey = make_huey()
    install_handlers(huey, preset="brief-locks")

    @huey.task()
    def unnamed():
        raise TaskLockedException

    result = unnamed()
    run_all(huey)
    with pytest.raises(TaskException, match="TaskLockedException"):
        result.get()


def test_nobody_looks_who_has_nothing_that_expires(make_huey):
    """A handler that may say ``expire`` begins it with the first error."""
    huey = make_huey()
    kit = install_handlers(huey)
    answers = iter([DROP, expire(60)])
    kit.on("locked")(lambda event: next(answers))
    guarded, _ = declare(huey)
    looking = []
    for _ in range(2):
        guarded()
        run_all(huey)
        looking.append(looks(kit))
    assert looking == [False, True]


def test_a_script_that_only_imports_the_application_asks_no_server(tmp_path):
    """It ends at once although there is no Redis: to look is the consumers' affair."""
    script = """
import huey_signals_kit
from huey import RedisHuey
kit = huey_signals_kit.install_handlers(RedisHuey("x", port=1), preset="brief-locks")
print(bool(kit._jobs))
"""
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("True\n", "")


def test_a_worker_looks_for_what_a_handler_of_the_users_has_left(make_huey):
    """It may return any verdict, and an earlier process that did may have been killed."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    names = lambda: [job.name for job in scheduler.jobs]  # noqa: E731
    kit._on_worker_start()
    assert "expired errors" not in names()
    kit.on("error")(lambda event: expire(3600))
    kit._on_worker_start()
    assert "expired errors" in names()


@pytest.mark.storage("file")
def test_a_foreign_file_in_the_folder_stops_nothing(make_huey, quick):
    """A Finder or an NFS server may leave one there."""
    huey = make_huey("file")
    folder = Path(huey.storage.path, _files.FOLDER)
    folder.mkdir(parents=True)
    (folder / ".DS_Store").write_bytes(b"\xff\xfe")
    (folder / "000000000000000-").write_bytes(b"")
    install_handlers(huey, preset=["observe", expiring(0.05)])
    declare(huey)[0]()
    run_all(huey)
    wait_until(lambda: not stored_errors(huey), 20, "the error to be removed")
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert names == {".DS_Store", "000000000000000-"}


@pytest.fixture
def listed(monkeypatch):
    """The names of the files that are listed in the folders of what is due."""
    names, real = [], os.listdir

    def listdir(path):
        found = real(path)
        if _files.FOLDER in str(path):
            names.extend(found)
        return found

    monkeypatch.setattr(_files.os, "listdir", listdir)
    return names


def store_many(huey, number, due):
    """Store so many errors that are due at that moment."""
    files = _files.Files()
    for each in range(number):
        key = f"{uuid4()}"
        value = huey.serializer.serialize(Error({"error": "busy", "task_id": key}))
        files.put(huey.storage, Entry(key, value, 1, due + each / 1000))


@pytest.mark.storage("file")
def test_each_file_that_is_due_is_listed_once(make_huey, listed):
    """However many there are: the time for one does not grow with their number."""
    huey, files = make_huey("file"), _files.Files()
    store_many(huey, 350, due=1000)
    files.delete_due(huey.storage, 2000)
    assert sorted(Counter(name for name in listed if "-" in name).values()) == [1] * 350
    assert store(huey) == {}
    assert list(Path(huey.storage.path, _files.FOLDER).iterdir()) == []


@pytest.mark.storage("file")
def test_a_look_reads_nothing_of_what_is_still_to_come(make_huey, listed):
    """The second look on: a process that is idle pays nothing for what others have stored."""
    huey, files = make_huey("file"), _files.Files()
    for minute in range(50):
        store_many(huey, 2, due=10_000 + 60 * minute)
    files.delete_due(huey.storage, 5000)
    listed.clear()
    for seconds in range(0, 590, 5):
        files.delete_due(huey.storage, 5000 + seconds)
    assert listed == []
    assert huey.result_count() == 100


@pytest.mark.storage("file")
def test_what_comes_due_between_two_looks_is_found(make_huey):
    """Whether they are five seconds apart, or an hour, or the clock went back in between."""
    huey, files = make_huey("file"), _files.Files()
    for first, second in ((1000, 1005), (2000, 5600), (9000, 8000), (8000, 8599.999)):
        files.delete_due(huey.storage, first)
        store_many(huey, 3, due=second - 1)
        files.delete_due(huey.storage, second)
        assert left(huey) == set()


@pytest.mark.storage("file")
def test_a_file_whose_error_is_still_to_come_is_looked_at_again(make_huey):
    """Its process may be between the two writes; killed there, it leaves nothing for ever."""
    huey, files = make_huey("file"), _files.Files()
    files.schedule(huey.storage, Entry("key", b"value", 1, 1000))
    for now, kept in ((1000.5, True), (1004, True), (1011, False)):
        files.delete_due(huey.storage, now)
        assert bool(left(huey)) is kept


@pytest.mark.storage("file")
def test_files_of_version_0_1_are_removed_too(make_huey):
    """They stand in no folder of their time."""
    huey, files = make_huey("file"), _files.Files()
    store_many(huey, 3, due=1000)
    old = Path(huey.storage.path, _files.OLD_FOLDER)
    old.mkdir()
    for path in list(Path(huey.storage.path, _files.FOLDER).glob("*/*")):
        path.rename(old / path.name)
    files.delete_due(huey.storage, 2000)
    assert store(huey) == {}
    assert not old.exists()


@pytest.mark.storage("file")
def test_a_folder_that_another_process_removes_is_made_again(make_huey, monkeypatch):
    """It was empty just before the file was written."""
    huey, files, gone = make_huey("file"), _files.Files(), []
    write = Path.write_bytes

    def write_bytes(path, content):
        if len(gone) < 3:
            gone.append(path.parent.rmdir())
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    files.schedule(huey.storage, Entry("key", b"value", 1, 1000))
    assert len(gone) == 3
    assert len(left(huey)) == 1


@pytest.mark.storage("file")
def test_no_heartbeat_waits_for_the_removal_of_errors(make_huey, monkeypatch):
    """However long a storage takes for that."""
    monkeypatch.setattr(heartbeat, "HEARTBEAT_SECONDS", 0.05)
    huey, inside, release = make_huey("file"), threading.Event(), threading.Event()

    def reap(*_):
        inside.set()
        release.wait(60)
        return False

    monkeypatch.setattr(_files.Files, "delete_due", reap)
    kit = install_handlers(huey, preset="brief-locks")
    kit._on_worker_start()
    try:
        assert inside.wait(20)
        ledger = open_ledger(make_huey("file", huey.name))

        def beats():
            return [each.heartbeat.sequence for each in ledger.processes()]

        wait_until(beats, 20, "the first heartbeat")
        before = beats()
        wait_until(lambda: beats() > before, 20, "the next heartbeat")
    finally:
        release.set()


@pytest.mark.storage("file")
def test_removing_files_and_a_workers_own_work_do_not_lock_each_other_out(make_huey):
    """Before Huey 3.4 two threads of a process must not use its file lock."""
    huey = make_huey("file")
    kit = install_handlers(huey, preset=["observe", expiring(0.001)])
    guarded = declare(huey)[0]
    stop = threading.Event()

    def reap():
        while not stop.is_set():
            kit._expiry.delete_due()

    reaper = threading.Thread(target=reap, daemon=True)
    reaper.start()

    def work():
        for _ in range(150):
            guarded()
        run_all(huey)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(60)
    stop.set()
    assert not worker.is_alive()


@pytest.mark.skipif(not hasattr(serializers, "SignedSerializer"), reason="came later")
def test_a_signed_entry_is_as_small(make_huey):
    """What is measured is what is stored."""
    huey = make_huey(serializer=serializers.SignedSerializer(secret="x" * 30))
    install_handlers(huey, preset="brief-locks")
    result = declare(huey, lock="h" * 500)[0]()
    run_all(huey)
    assert len(store(huey)[result.id]) < 300


def test_a_wrapped_lock_error_names_its_lock_first(make_huey):
    """Its own text may be cut, or have the lock's name in it by chance."""
    huey = make_huey()
    install_handlers(huey, preset="brief-locks")
    hold(huey, "art")

    @huey.task()
    def starts():
        try:
            huey.lock_task("art").__enter__()
        except TaskLockedException as exc:
            raise Busy("cannot start") from exc

    result = starts()
    run_all(huey)
    assert stored_errors(huey)[result.id]["error"] == "lock 'art': Busy('cannot start')"
