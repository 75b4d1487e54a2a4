"""`huey-signals health`: for alerts by what the storage tells, for probes by this host alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.cli._health import command
from huey_signals_kit.cli._health.queue import QueueState, judge_queue
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.jobs import host_record
from huey_signals_kit.jobs.host_record import RUN_DIR, HostRecord, HostRecordWriter, read_records
from huey_signals_kit.ledger import Heartbeat, Process, open_ledger
from huey_signals_kit.runtime.process_id import process_with_pid, this_process
from huey_signals_kit.store.failures import describe_storage
from tests.consumer.harness import ROOT, running_consumer
from tests.consumer.locks_app import HOST
from tests.locks import ELSEWHERE, GONE
from tests.support import wait_until

APP = "tests.consumer.ledger_app"
NAME = f"{APP}.huey"
"""In this process there is no such attribute: what knows the name has not imported it."""


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """Where the processes of this test write their files."""
    folder = tmp_path / "run"
    monkeypatch.setenv(RUN_DIR, str(folder))
    return folder


@pytest.fixture
def consume(tmp_path, run_dir):
    """`consume(shop, worker)`: a real consumer with two workers."""
    with ExitStack() as stack:

        def begin(shop, worker="thread"):
            log = tmp_path / "consumer.log"
            running = running_consumer(
                shop.place, log, worker=worker, workers=2, install={}, app=APP
            )
            return stack.enter_context(running)

        yield begin


def answer(shop, *words, name=NAME):
    """The exit code, and why."""
    ran = shop.run("health", name, *words)
    assert ran.err == ""
    assert ran.out.count("\n") == 1
    verdict, why = ran.out.rstrip().split(": ", 1)
    assert verdict == ("unhealthy" if ran.code else "healthy")
    return ran.code, why


def works_here(shop, number):
    """Wait until so many processes of this host work on it."""
    noun = "process of this host works" if number == 1 else "processes of this host work"
    expected = f"healthy: {number} {noun} on {NAME}\n"
    # Before there is a file the name is looked up, and not found.
    wait_until(lambda: shop.run("health", NAME, "--here").out == expected, 60, f"{number} files")


def write(run_dir, **said):
    """The file of a process of this host; times are seconds ago."""
    for name in ("at", "idle_since"):
        if name in said:
            said[name] = time.monotonic() - said[name]
    now, project = time.monotonic(), os.getcwd()
    record = HostRecord("q", (NAME,), this_process(), "thread", None, now, None, project)
    record = replace(record, **said)
    run_dir.mkdir(exist_ok=True)
    path = run_dir / f"{record.place.pid}-{len(list(run_dir.iterdir()))}.json"
    path.write_text(json.dumps(host_record._as_json(record)))
    return path


@pytest.mark.parametrize(("worker", "processes"), [("thread", 1), ("process", 2)])
def test_a_real_consumer(sqlite_shop, consume, run_dir, worker, processes):
    """Is well on this host and in its queue; once it has stopped, neither, and no file is left."""
    consumer = consume(sqlite_shop, worker)
    works_here(sqlite_shop, processes)
    assert answer(sqlite_shop, "--here", name=sqlite_shop.name)[0] == 0
    wait_until(lambda: answer(sqlite_shop, name=sqlite_shop.name)[0] == 0, 60, "a heartbeat")
    ran = sqlite_shop.run("health", NAME, "--here", "--json")
    assert (ran.code, json.loads(ran.out)["healthy"]) == (0, True)
    consumer.stop()
    assert list(run_dir.iterdir()) == []
    code, why = answer(sqlite_shop, "--here", name=sqlite_shop.name)
    assert code == 1
    assert f"no file was written to {run_dir}. Start a consumer with the kit" in why
    assert answer(sqlite_shop, name=sqlite_shop.name)[0] == 1


def test_another_host_does_not_count(sqlite_shop, consume, tmp_path, monkeypatch):
    """A consumer that this host does not have is good for the queue, not for the probe."""
    consume(sqlite_shop)
    works_here(sqlite_shop, 1)
    monkeypatch.setenv(RUN_DIR, str(tmp_path / "of another host"))
    wait_until(lambda: answer(sqlite_shop, name=sqlite_shop.name)[0] == 0, 60, "a heartbeat")
    assert answer(sqlite_shop, "--here", name=sqlite_shop.name)[0] == 1


def test_a_stopped_process(sqlite_shop, consume):
    """Is seen at once by both, and what lets it go on is said."""
    consumer = consume(sqlite_shop)
    works_here(sqlite_shop, 1)
    wait_until(lambda: answer(sqlite_shop, name=sqlite_shop.name)[0] == 0, 60, "a heartbeat")
    pid = consumer.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        said = f"process {pid} is stopped (kill -CONT {pid} resumes it)"
        assert answer(sqlite_shop, "--here") == (1, said)
        code, why = answer(sqlite_shop, name=sqlite_shop.name)
        assert code == 1
        assert "is stopped (kill -CONT" in why
    finally:
        os.kill(pid, signal.SIGCONT)
    works_here(sqlite_shop, 1)


def test_workers_without_their_consumer(sqlite_shop, consume):
    """They go on, and nobody would start them again."""
    consumer = consume(sqlite_shop, "process")
    works_here(sqlite_shop, 2)
    os.kill(consumer.process.pid, signal.SIGSTOP)
    said = f"the consumer, process {consumer.process.pid}, is stopped"
    assert said in answer(sqlite_shop, "--here")[1]
    os.kill(consumer.process.pid, signal.SIGKILL)
    consumer.process.wait()
    # Two workers, and the scheduler, which may write its file later than they do.
    wait_until(
        lambda: answer(sqlite_shop, "--here")[1].count("has ended without it") == 3,
        30,
        "the files of all three",
    )
    assert answer(sqlite_shop, "--here")[0] == 1
    consumer.kill()
    code, why = answer(sqlite_shop, "--here", name=NAME)
    assert code == 1
    assert "ended unexpectedly" in why


ORPHAN = """
import multiprocessing, os, signal, time
from huey import MemoryHuey
from huey_signals_kit.jobs.host_record import HostRecordWriter

writer, consumer = HostRecordWriter(MemoryHuey("shop")), os.getpid()

def work():
    while os.getppid() == consumer:
        time.sleep(0.01)
    parent = writer._record().parent
    print(parent.pid == consumer, parent.is_alive())

multiprocessing.get_context("fork").Process(target=work).start()
os.kill(consumer, signal.SIGKILL)
"""


def test_a_worker_names_the_consumer_that_started_it_also_after_its_end():
    """It writes its file again every ten seconds, and then has another parent process."""
    ran = subprocess.run([sys.executable, "-c", ORPHAN], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (-signal.SIGKILL, "True False\n"), ran.stderr


def test_a_consumer_that_was_killed(sqlite_shop, consume, run_dir):
    """Is named, until the next one has removed its file."""
    consumer = consume(sqlite_shop)
    works_here(sqlite_shop, 1)
    pid = consumer.process.pid
    consumer.kill()
    expected = f"no process of this host works on {NAME}: process {pid} ended unexpectedly"
    assert answer(sqlite_shop, "--here") == (1, expected)
    consume(sqlite_shop)
    works_here(sqlite_shop, 1)
    assert [each.name.partition("-")[0] for each in run_dir.iterdir()] != [str(pid)]
    assert len(list(run_dir.iterdir())) == 1


def test_a_storage_that_is_away_is_no_reason_to_restart(make_shop, redis_server, consume):
    """The probe does not ask it; the alert says that it is away."""
    shop = make_shop("redis", redis_server.url)
    consume(shop)
    works_here(shop, 1)
    redis_server.stop()
    works_here(shop, 1)
    code, why = answer(shop, name=shop.name)
    assert code == 1
    assert why.startswith("cannot use the Redis at 127.0.0.1:")


@pytest.fixture
def redis_server(tmp_path):
    """A Redis that the test may stop."""
    from tests import servers
    from tests.cli.test_top import OwnRedis

    try:
        server = OwnRedis(tmp_path)
    except servers.NoServer as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


def test_a_storage_that_hangs(frozen_shop, monkeypatch):
    """Is told as that, in time for the next probe."""
    monkeypatch.setattr(command, "SILENT_SECONDS", 0.5)
    shop = frozen_shop(b"hgetall")
    code, why = answer(shop, name=shop.name)
    assert code == 1
    assert why.endswith(" has not answered for 0.5 s")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"at": 125}, "hangs: it has run no Python code for 1"),
        ({"idle_since": 35}, "the workers of process"),
        ({"worker": "scheduler"}, "no process of this host works on"),
        (
            {"place": replace(this_process(), pid_namespace="another boot")},
            "no process of this host works on",
        ),
        ({"names": (), "queue": "other"}, "no process of this host works on"),
    ],
)
def test_what_a_file_tells(sqlite_shop, run_dir, said, why):
    """A process that hangs, whose workers have ended, or that is none of these."""
    write(run_dir, **said)
    name = NAME if said.get("names") != () else sqlite_shop.name
    code, told = answer(sqlite_shop, "--here", name=name)
    assert code == 1
    assert why in told


@pytest.mark.parametrize(
    ("storage", "names"), [("the SQLite file /another/q.db", (NAME,)), ("the Redis at b:1/0", ())]
)
def test_a_queue_of_the_same_name_in_another_storage_does_not_count(
    sqlite_shop, run_dir, storage, names
):
    """Of another project, whose module may have the same name, too."""
    said = {"queue": sqlite_shop.huey.name, "names": names, "folder": "/another"}
    write(run_dir, storage=storage, **said)
    code, why = answer(sqlite_shop, "--here", name=sqlite_shop.name)
    assert code == 1
    assert (
        f"no process of this host works on {sqlite_shop.name}: the consumers of a queue of" in why
    )
    assert f"that name use {storage}. Run this command in the folder" in why
    file = sys.modules[sqlite_shop.name.rpartition(".")[0]].__file__
    for same in (
        {"storage": describe_storage(sqlite_shop.huey.storage)},
        {"storage": ""},
        {"storage": storage, "names": (sqlite_shop.name,), "files": (os.path.realpath(file),)},
    ):
        write(run_dir, **{**said, **same})
        assert answer(sqlite_shop, "--here", name=sqlite_shop.name)[0] == 0
        for path in run_dir.iterdir():
            path.unlink()


@pytest.mark.parametrize(
    "said",
    [
        {"idle_since": 1},
        {"at": 60},
        {
            "place": replace(
                this_process(),
                pid_namespace=f"{this_process().pid_namespace.split()[0]} another container",
                pid=1,
            )
        },
    ],
)
def test_what_is_no_reason_to_restart(sqlite_shop, run_dir, said):
    """A worker that starts again, a minute without Python code; the file of another container."""
    write(run_dir, **said)
    assert answer(sqlite_shop, "--here")[0] == 0


def test_files_of_others_are_passed_over(sqlite_shop, run_dir):
    """Whatever lies there."""
    write(run_dir)
    huge = {"host": this_process().host, "space": this_process().pid_namespace, "pid": 2**40}
    place = json.dumps({**json.loads(write(run_dir).read_text()), "place": {**huge, "born": 5}})
    texts = ("", "[]", "{}", "null", '{"queue": 1}', "[" * 100_000, place)
    for number, text in enumerate(texts):
        (run_dir / f"{number}-0.json").write_text(text)
    (run_dir / "folder.json").mkdir()
    assert answer(sqlite_shop, "--here")[0] == 0


def test_no_file_is_written_into_a_folder_of_another_user(tmp_path, monkeypatch):
    """Nor where the folder's name leads elsewhere; the worker goes on."""
    monkeypatch.delenv(RUN_DIR, raising=False)
    monkeypatch.setattr(host_record.tempfile, "gettempdir", lambda: str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"huey-signals-{os.geteuid()}").symlink_to(elsewhere)
    with pytest.raises(PermissionError):
        host_record.prepare_own_folder()
    assert list(elsewhere.iterdir()) == []


def as_another_user(monkeypatch, tmp_path, uid=4321):
    """Have no `RUN_DIR`, but `huey-signals-UID` in a folder where all may write."""
    monkeypatch.delenv(RUN_DIR, raising=False)
    monkeypatch.setattr(host_record.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    return tmp_path / f"huey-signals-{uid}"


def test_a_folder_of_another_user_is_not_believed(sqlite_shop, tmp_path, monkeypatch):
    """Nor what it leads to: the probe says why no process can write a file there."""
    folder = as_another_user(monkeypatch, tmp_path)
    write(folder)
    code, why = answer(sqlite_shop, "--here", name=sqlite_shop.name)
    assert code == 1
    assert f"{folder} belongs to another user or cannot be written" in why
    assert f"Set {RUN_DIR} to another folder" in why
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert answer(sqlite_shop, "--here", name=sqlite_shop.name) == (1, why)


def test_root_believes_each_folder_only_of_the_user_it_names(sqlite_shop, tmp_path, monkeypatch):
    """Another user's folder could have any name."""
    own, uid = as_another_user(monkeypatch, tmp_path, 0), os.stat(tmp_path).st_uid
    write(tmp_path / f"huey-signals-{uid + 1}")
    write(tmp_path / "huey-signals-x")
    assert answer(sqlite_shop, "--here", name=sqlite_shop.name)[0] == 1
    own.parent.joinpath(f"huey-signals-{uid + 1}").rename(tmp_path / f"huey-signals-{uid}")
    assert answer(sqlite_shop, "--here")[0] == 0


def test_pipes_links_and_endless_files_are_not_read(sqlite_shop, run_dir):
    """A probe that read them would hang, or fill the memory."""
    file = write(run_dir)
    text = file.read_text()
    os.mkfifo(run_dir / "pipe.json")
    (run_dir / "endless.json").symlink_to("/dev/zero")
    (run_dir / "large.json").write_text(text[:-1] + " " * (1 << 20) + "}")
    assert len(read_records()) == 1
    assert answer(sqlite_shop, "--here")[0] == 0
    file.rename(run_dir.parent / "file")
    (run_dir / "link.json").symlink_to(run_dir.parent / "file")
    assert answer(sqlite_shop, "--here", name=sqlite_shop.name)[0] == 1


@pytest.mark.parametrize("pid", ["../tmp", "1", -1, 0, 1.5, True, None])
def test_a_file_that_names_no_process(run_dir, pid):
    """Its number would be part of a path, and of the answer."""
    file = write(run_dir)
    content = json.loads(file.read_text())
    content["place"]["pid"] = pid
    file.write_text(json.dumps(content))
    assert read_records() == []


def test_another_project_with_the_same_names(sqlite_shop, run_dir):
    """Does not make this one look well; nor is it needed to run in the folder of the consumer."""
    write(run_dir, folder="/another/project", names=(sqlite_shop.name,))
    assert answer(sqlite_shop, "--here", name=sqlite_shop.name)[0] == 1
    queue = sqlite_shop.huey.name
    write(run_dir, folder="/", names=(sqlite_shop.name,), queue=queue)
    assert answer(sqlite_shop, "--here", name=sqlite_shop.name)[0] == 0
    write(run_dir, folder="/")
    assert answer(sqlite_shop, "--here")[0] == 0  # it cannot be imported here


def test_no_folder_for_temporary_files(sqlite_shop, tmp_path, monkeypatch):
    """As in a container whose file system is read-only: what to set is said."""
    as_another_user(monkeypatch, tmp_path)

    def gettempdir():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(host_record.tempfile, "gettempdir", gettempdir)
    code, why = answer(sqlite_shop, "--here", name=sqlite_shop.name)
    assert code == 1
    expected = (
        f"No usable temporary directory found. Let {RUN_DIR} name a folder that can be written"
    )
    assert why == expected


@pytest.fixture
def writer(sqlite_shop, run_dir):
    """It has written its file."""
    writer = HostRecordWriter(sqlite_shop.huey)
    writer.start("thread")
    wait_until(read_records, 30, "the file")
    yield writer
    writer.stop()


def test_a_folder_that_was_removed_is_made_again(run_dir, monkeypatch, sqlite_shop):
    """A clean-up of temporary files is no reason to restart."""
    monkeypatch.setattr(host_record, "WRITE_SECONDS", 0.05)
    writer = HostRecordWriter(sqlite_shop.huey)
    writer.start("thread")
    for _ in range(2):
        wait_until(read_records, 30, "the file")
        run_dir.rename(run_dir.parent / f"gone-{time.monotonic_ns()}")
    writer.stop()


def test_a_file_is_not_written_through_a_link(run_dir, tmp_path, sqlite_shop, monkeypatch):
    """In a folder where all may write, another user can put one under its name."""
    monkeypatch.setattr(host_record, "WRITE_SECONDS", 0.05)
    writer = HostRecordWriter(sqlite_shop.huey)
    writer.start("thread")
    wait_until(read_records, 30, "the file")
    (file,) = run_dir.glob("*.json")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = file.with_suffix(".new")

    for _ in range(3):
        written = file.stat().st_mtime_ns
        with suppress(FileExistsError):
            link.symlink_to(victim)
        wait_until(lambda written=written: file.stat().st_mtime_ns != written, 30, "a write")
    writer.stop()
    assert victim.read_text() == "precious"
    assert not file.is_symlink()


def test_containers_that_share_the_folder(run_dir, writer, monkeypatch):
    """Their processes can have the same numbers: each has a file, until it is long forgotten."""
    (file,) = run_dir.glob("*.json")
    other = replace(this_process(), pid_namespace="another container")
    with monkeypatch.context() as patch:
        patch.setattr(host_record, "this_process", lambda: other)
        name = host_record._file_name(int(file.name.split("-")[1]))
    assert name != file.name
    assert name.split("-")[:2] == file.name.split("-")[:2]
    of_other = write(run_dir, place=other).rename(run_dir / name)
    host_record._remove_dead(run_dir)
    assert of_other.exists()
    os.utime(of_other, (1, 1))
    host_record._remove_dead(run_dir)
    assert not of_other.exists()
    assert file.exists()


def test_a_kit_that_is_uninstalled_leaves_no_file(sqlite_shop, run_dir):
    """Nor does its thread write another one."""
    writer = HostRecordWriter(sqlite_shop.huey)
    writer.start("thread")
    wait_until(read_records, 30, "the file")
    (record,) = read_records()
    assert (record.queue, record.place) == (sqlite_shop.huey.name, this_process())
    assert sqlite_shop.name in record.names
    writer.stop()
    wait_until(lambda: not list(run_dir.iterdir()), 30, "no file")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_a_consumer_on_another_host(make_shop, tmp_path, run_dir, monkeypatch, kind):
    """Is good for the queue once its record was seen to change, and no longer when it is killed."""
    monkeypatch.setenv(HOST, "elsewhere")
    shop, app = make_shop(kind), "tests.consumer.locks_app"
    log = tmp_path / "consumer.log"
    with running_consumer(shop.place, log, install={}, app=app) as consumer:
        _, why = wait_until(lambda: healthy(shop), 60, "a heartbeat")
        assert why == f"1 process works on the queue {shop.huey.name!r}, no message waits"
        consumer.kill()
        _, why = wait_until(lambda: unhealthy(shop), 60, "silence")
        assert f"process {consumer.process.pid} on elsewhere has been silent for 7 s" in why


def healthy(shop):
    found = answer(shop, name=shop.name)
    return found if not found[0] else None


def unhealthy(shop):
    found = answer(shop, name=shop.name)
    return found if found[0] else None


def process(place=None, alive=None, sequence=1, **said):
    beat = Heartbeat("one", place or ELSEWHERE, "thread", 1.0, sequence, **said)
    return Process(beat, alive, False)


class Looks:
    """Gives one reading after the other, a second apart, the last one for ever."""

    def __init__(self, *readings):
        self._readings, self.now = list(readings), 0.0

    def look(self):
        return self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += 1.0

    def judge(self):
        return judge_queue("q", self.look, self.clock, self.sleep)


def test_a_process_elsewhere_is_watched_until_its_record_changes():
    """Or for as long as one that lives would need."""
    silent = QueueState((process(),), 0, 0, None)
    looks = Looks(silent)
    found = looks.judge()
    assert (found.healthy, looks.now) == (False, 7.0)
    assert f"process {ELSEWHERE.pid} on {ELSEWHERE.host} has been silent for 7 s" in found.why
    looks = Looks(silent, silent, replace(silent, workers=(process(sequence=2),)))
    assert (looks.judge().healthy, looks.now) == (True, 2.0)


def test_messages_that_nobody_takes():
    """Although a process lives; not as long as it runs a task, or takes one after the other."""
    stuck = QueueState((process(alive=True),), 0, 3, b"first")
    looks = Looks(stuck)
    found = looks.judge()
    assert (found.healthy, looks.now) == (False, 12.0)
    assert found.why == (
        "3 messages wait in the queue 'q', and none was taken for 12 s, although 1 process with "
        "workers is alive and without a task"
    )
    task = RunningTask("id", "shop.job", 1.0)
    for later in (
        replace(stuck, head=b"second"),
        replace(stuck, waiting=0, head=None),
        replace(stuck, workers=(process(alive=True, running=(task,)),)),
    ):
        looks = Looks(stuck, stuck, later)
        assert (looks.judge().healthy, looks.now) == (True, 2.0)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_queue_whose_consumers_are_dead(make_shop, kind):
    """Says which, and how many messages wait."""
    shop = make_shop(kind)
    for n in range(2):
        shop.tasks.job(n)
    open_ledger(shop.huey).write(Heartbeat("one", GONE, "thread", 1.0, 1))
    assert answer(shop, name=shop.name) == (
        1,
        f"no process is known to work on the queue {shop.huey.name!r}, which has 2 messages: "
        f"process {GONE.pid} on {GONE.host} is dead",
    )


def test_two_schedulers_of_one_periodic_task_are_mentioned(sqlite_shop):
    """The queue is healthy: a rolling restart has two for a moment."""
    own, other = this_process(), process_with_pid(os.getppid())
    for place, worker in ((own, "thread"), (other, "scheduler")):
        record = Heartbeat(worker, place, worker, 1.0, 1, periodic=("shop.nightly",))
        open_ledger(sqlite_shop.huey).write(record)
        code, why = answer(sqlite_shop, name=sqlite_shop.name)
        assert code == 0
        assert ("shop.nightly" in why) == (place is other)
    assert "; but 2 consumers enqueue the same periodic task, so that each run" in why


def test_a_wrong_name_is_wrong_use(sqlite_shop, run_dir):
    """With and without --here."""
    for words in ([], ["--here"]):
        ran = sqlite_shop.run("health", f"{sqlite_shop.module}.hueyy", *words)
        assert (ran.code, ran.out) == (2, "")
        assert "Did you mean 'huey'?" in ran.err
