"""PrometheusSink with several processes: whoever is scraped shows the work of all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from uuid import uuid4

import pytest

from huey_signals_kit import install_handlers
from tests.selection import slow_except
from tests.sinks.conftest import enqueue
from tests.support import wait_until

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, start_http_server

from huey_signals_kit.metrics.names import BOUNDS
from huey_signals_kit.runtime.process_id import ProcessId, this_process
from huey_signals_kit.sinks._totals_folder import ENDED, LOCK, TotalsFolder
from huey_signals_kit.sinks.prometheus import PrometheusSink
from tests.sinks.scraping import Scrape, scrape, scrape_port

ENVIRONMENT = "PROMETHEUS_MULTIPROC_DIR"
DONE, SKIPPED, FAILED = 120, 60, 20
ALL = (DONE, SKIPPED, FAILED, DONE + FAILED)


@pytest.fixture(autouse=True)
def _no_folder_given(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)


def port_of(consumer, output):
    """Where the consumer's parent process can be scraped."""
    told = consumer.wait_until(lambda: output.exists() and output.read_text().strip(), "a port")
    return int(told)


@pytest.mark.parametrize("worker", slow_except(["process"], ["process", "thread"]))
def test_the_consumers_parent_shows_the_work_of_all_workers(consumer_with_sink, tmp_path, worker):
    """While it runs nothing goes back, in the end the totals are the work; its folder is gone."""
    seen = []

    def all_is_shown():
        seen.append(scrape_port(port).outcomes())
        return seen[-1] == ALL

    with consumer_with_sink("prometheus", worker) as (consumer, huey, output):
        port = port_of(consumer, output)
        enqueue(huey, DONE, SKIPPED, FAILED)
        consumer.wait_until(all_is_shown, f"{ALL} in a scrape", timeout=30)
        assert scrape_port(port).outcomes() == ALL
    # The folder that `health --here` reads stays for the next consumer.
    assert os.listdir(tmp_path / "temporary") == [f"huey-signals-{os.getuid()}"]
    for counter in zip(*seen, strict=True):
        assert list(counter) == sorted(counter)


@pytest.mark.parametrize("worker", slow_except(["process"], ["process", "thread"]))
def test_after_a_graceful_stop_another_process_shows_all_of_it(
    consumer_with_sink, make_huey, tmp_path, monkeypatch, worker
):
    """Not one count is lost between a worker's last task and its end."""
    folder = tmp_path / "metrics"
    monkeypatch.setenv(ENVIRONMENT, str(folder))
    with consumer_with_sink("prometheus", worker) as (consumer, huey, _):
        enqueue(huey, DONE, SKIPPED, FAILED)
        consumer.wait_until(lambda: huey.pending_count() == 0, "an empty queue")
        consumer.stop()
    registry = CollectorRegistry()
    install_handlers(make_huey(), sinks=PrometheusSink(registry, folder))
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        assert scrape_port(server.server_port).outcomes() == ALL
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_killed_worker_takes_no_count_of_the_others_along(consumer_with_sink):
    """Its own, as far as written, stay as well, and those of its successor are added."""
    with consumer_with_sink("prometheus", "process") as (consumer, huey, output):
        port = port_of(consumer, output)
        enqueue(huey, DONE, SKIPPED, FAILED)
        consumer.wait_until(lambda: scrape_port(port).outcomes() == ALL, "all in a scrape")
        pid = consumer.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for worker in children[-2:]:  # the first is the scheduler
            os.kill(int(worker), signal.SIGKILL)
        assert scrape_port(port).outcomes() == ALL
        enqueue(huey, 40, 0, 0)
        more = (DONE + 40, SKIPPED, FAILED, DONE + FAILED + 40)
        consumer.wait_until(lambda: scrape_port(port).outcomes() == more, "more in a scrape")
        consumer.kill()  # in some Hueys a dead worker keeps the others from stopping


def run_script(script, folder, **environment):
    """Runs it with temporary folders in *folder*; returns what it printed."""
    ran = subprocess.run(
        [sys.executable, "-u", "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TMPDIR": str(folder), **environment},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


PRELUDE = """
    import os
    from huey import MemoryHuey
    from prometheus_client import CollectorRegistry
    from huey_signals_kit import install_handlers
    from huey_signals_kit.runtime import scheduler as scheduler_module
    from huey_signals_kit.runtime.scheduler import scheduler
    from huey_signals_kit.sinks.prometheus import PrometheusSink
    from tests.sinks.scraping import scrape

    scheduler_module.END_SECONDS = 20  # on a busy machine the last run may take a second
    huey = MemoryHuey("forking")
    registry = CollectorRegistry()

    def install(**options):
        install_handlers(huey, sinks=PrometheusSink(registry, **options))

    @huey.task()
    def ordinary():
        pass

    def do(times):
        for _ in range(times):
            ordinary()
            huey.execute(huey.dequeue())

    def done():
        return int(scrape(registry).total("huey_signals_total", signal="complete"))

    def folders():
        return len(os.listdir(os.environ["TMPDIR"]))

    def in_child(work):
        if (pid := os.fork()) == 0:
            work()
            scheduler.end()
            os._exit(0)
        os.waitpid(pid, 0)
"""


def test_without_a_fork_nothing_is_written(tmp_path):
    """One process needs no folder."""
    script = """
        install()
        do(3)
        scheduler.end()
        print(done(), folders())
    """
    assert run_script(script, tmp_path) == ["3 0"]


def test_forked_processes_share_a_folder_that_is_gone_in_the_end(tmp_path):
    """Children and grandchildren; each counts for itself, and none removes the folder."""
    script = """
        import sys

        def child():
            do(20)
            in_child(lambda: do(100))
            print("child", done())

        install()
        do(3)
        in_child(child)
        print("parent", done(), folders())
        scheduler.end()
        if os.fork() == 0:
            sys.exit()
        os.wait()
        in_child(lambda: print("another", done()))
        print("parent", done(), folders())
    """
    expected = ["child 120", "parent 123 1", "another 123", "parent 123 1"]
    assert run_script(script, tmp_path) == expected
    assert os.listdir(tmp_path) == []


def test_without_a_prometheus_sink_no_fork_makes_a_folder(tmp_path):
    """Nor after the last one was stopped."""
    script = """
        from huey_signals_kit import uninstall_handlers

        in_child(lambda: None)
        install()
        uninstall_handlers(huey)
        in_child(lambda: None)
        print(folders())
    """
    assert run_script(script, tmp_path) == ["0"]


def test_a_child_does_not_write_its_parents_file(tmp_path):
    """Forked while the parent's file is there: both count."""
    script = """
        install(directory=os.environ["TMPDIR"])
        do(3)
        scheduler.end()
        in_child(lambda: do(2))
        in_child(lambda: do(2))
        print(done(), folders())
        do(1)
        in_child(lambda: print(done()))
        scheduler.end()
        in_child(lambda: print(done()))
    """
    # The file of the first child is folded by the second one, under a lock.
    assert run_script(script, tmp_path) == ["7 4", "7", "8"]


def test_a_child_that_outlives_the_folder_says_nothing(tmp_path):
    """Its parent has ended, and with it whoever could be scraped."""
    script = """
        import sys
        from huey_signals_kit.sinks.prometheus import _collectors

        install()
        ours, theirs = os.pipe()
        if os.fork() == 0:
            os.close(theirs)
            os.read(ours, 1)  # until the parent is gone
            do(1)
            _collectors[registry].shared.write()
            print("written", done(), folders())
            os._exit(0)
    """
    assert run_script(script, tmp_path) == ["written 1 0"]


def test_beside_prometheus_own_multiprocess_mode(tmp_path):
    """One folder and one registry for both: neither disturbs the other."""
    script = """
        from prometheus_client import Counter, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

        things = Counter("app_things", "The application's own.")
        MultiProcessCollector(registry)
        install()

        def child():
            do(2)
            things.inc(5)

        do(1)
        in_child(child)
        mark_process_dead(os.getpid())
        print(done(), "app_things_total 5.0" in generate_latest(registry).decode())
    """
    assert run_script(script, tmp_path, **{ENVIRONMENT: str(tmp_path)}) == ["3 True"]


def test_what_has_not_changed_is_not_written_again(make_huey, tmp_path, work):
    """An idle process leaves its file alone."""
    huey = make_huey()
    kit = install_handlers(huey, sinks=PrometheusSink(CollectorRegistry(), tmp_path))
    work(huey)
    [path] = wait_until(lambda: list(tmp_path.glob("*.json")), 10, "the file")
    kit._jobs.flush()
    before = path.stat()
    kit._jobs.flush()
    assert path.stat() == before
    work(huey)
    kit._jobs.flush()
    assert path.stat().st_mtime_ns > before.st_mtime_ns


def test_an_uninstalled_kit_keeps_counting_for_the_others(make_huey, tmp_path, work):
    """The file has all of it, also what was counted just before."""
    huey = make_huey()
    with install_handlers(huey, sinks=PrometheusSink(CollectorRegistry(), tmp_path)):
        work(huey, 3, 2, 1)
    registry = CollectorRegistry()
    script = """
        install(directory=os.environ["TMPDIR"])
        print(done())
    """
    assert run_script(script, tmp_path) == ["3"]
    install_handlers(huey, sinks=PrometheusSink(registry, tmp_path))
    assert scrape(registry).outcomes() == (3, 2, 1, 4)


def row(*parts):
    """A file with one row of totals."""
    return json.dumps({"bounds": BOUNDS, "totals": [parts]})


SIGNALS_KEY = ["huey_signals_total", "q", "t", "complete"]
SECONDS_KEY = ["huey_task_seconds", "q", "t"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\udc80\0",
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps({"bounds": [1], "totals": []}),
        row(SIGNALS_KEY, -1),
        row(SIGNALS_KEY, 1.5),
        row(SIGNALS_KEY, True),
        row(SIGNALS_KEY, None),
        row(SIGNALS_KEY[:-1], 1),
        row(["huey_signals_total", "q", "t", 7], 1),
        row(["unknown_total", "q"], 1),
        row([], 1),
        row(SECONDS_KEY, 1),
        row(SECONDS_KEY, [1, 0.5, [1]]),
        row(SECONDS_KEY, [1, float("nan"), [0] * (len(BOUNDS) + 1)]),
        row(SECONDS_KEY, [1, "x", [0] * (len(BOUNDS) + 1)]),
    ],
)
def test_a_broken_file_is_skipped_and_reported_once(make_huey, tmp_path, caplog, work, text):
    """A scrape shows the rest."""
    path = tmp_path / "huey-signals-0.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    registry = CollectorRegistry()
    huey = make_huey()
    install_handlers(huey, sinks=PrometheusSink(registry, tmp_path))
    work(huey, 3, 2, 1)
    for _ in range(3):
        assert scrape(registry).outcomes() == (3, 2, 1, 4)
    [record] = [each for each in caplog.records if each.name == "huey_signals_kit"]
    assert str(path) in record.getMessage()


def test_other_files_in_the_folder_are_left_alone(make_huey, tmp_path, caplog, work):
    """Those of prometheus_client, and one that was being written when its process died."""
    for name in ("counter_17.db", "notes.json", "huey-signals-0.json.new"):
        (tmp_path / name).write_text("?")
    (tmp_path / "huey-signals-1.json").symlink_to(tmp_path / "nowhere")
    registry = CollectorRegistry()
    huey = make_huey()
    with install_handlers(huey, sinks=PrometheusSink(registry, tmp_path)):
        work(huey, 3, 2, 1)
        assert scrape(registry).outcomes() == (3, 2, 1, 4)
    assert [each for each in caplog.records if each.name == "huey_signals_kit"] == []
    assert {"counter_17.db", "notes.json"} <= set(os.listdir(tmp_path))


def test_a_file_that_is_replaced_is_read_again(make_huey, tmp_path):
    """And one that is gone no longer counts."""
    registry = CollectorRegistry()
    install_handlers(make_huey(), sinks=PrometheusSink(registry, tmp_path))
    path = tmp_path / "huey-signals-0.json"
    for count in (3, 4):
        (tmp_path / "new").write_text(row(SIGNALS_KEY, count))
        (tmp_path / "new").replace(path)
        for _ in range(2):
            assert scrape(registry).total("huey_signals_total") == count
    path.unlink()
    assert scrape(registry).total("huey_signals_total") == 0


def test_registries_of_one_process_show_the_same_folder(make_huey, tmp_path, work):
    """A folder is one place: whichever registry shows it, and in whichever process."""
    shown: list[Scrape] = []
    registries = [CollectorRegistry(), CollectorRegistry()]
    for registry in registries:
        huey = make_huey()
        install_handlers(huey, sinks=PrometheusSink(registry, tmp_path))
        work(huey, 3, 2, 1)
    shown = [scrape(registry) for registry in registries]
    assert [each.outcomes() for each in shown] == [(6, 4, 2, 8)] * 2


@pytest.fixture(scope="session")
def ended_place():
    """The place of a process of this host that has ended."""
    script = "from huey_signals_kit.runtime import process_id; print(process_id.this_process())"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    place = eval(ran.stdout, {"ProcessId": ProcessId})
    assert place.is_alive() is False, "needs Linux's /proc"
    return [place.host, place.pid_namespace, place.pid, place.start_time]


def write_ended(folder, place, number):
    """Write the files of so many processes, each of which has counted one completed task."""
    for _ in range(number):
        content = {**json.loads(row(SIGNALS_KEY, 1)), "place": place}
        (folder / f"huey-signals-{uuid4().hex}.json").write_text(json.dumps(content))


def completed(folder):
    """The completed tasks that a process shows which has no file in the folder."""
    found = TotalsFolder(str(folder), fail).totals("none")
    return found.get(tuple(SIGNALS_KEY), 0)


def fail(what, exc):
    """No file may be unreadable."""
    raise AssertionError(f"{what}: {exc!r}")


def test_the_files_of_ended_processes_become_one(tmp_path, ended_place):
    """Each of 1,000 counts, and a scrape reads and remembers a few files only."""
    write_ended(tmp_path, ended_place, 1000)
    assert completed(tmp_path) == 1000
    folder = TotalsFolder(str(tmp_path), fail)
    while folder.fold("own"):
        assert folder.totals("own")[tuple(SIGNALS_KEY)] == 1000
    assert folder.totals("own") == {tuple(SIGNALS_KEY): 1000}
    assert sorted(os.listdir(tmp_path)) == [ENDED, LOCK]
    assert list(folder._cache) == [ENDED]
    assert (tmp_path / ENDED).stat().st_size < 50_000
    write_ended(tmp_path, ended_place, 1)
    folder.fold("own")
    assert (tmp_path / ENDED).stat().st_size < 1000


def test_only_files_of_processes_that_are_known_to_have_ended_are_folded(tmp_path, ended_place):
    """Not this process's, one of another host, or one that says no place."""
    host, space, pid, start_time = ended_place
    me = this_process()
    kept = [
        [me.host, me.pid_namespace, me.pid, me.start_time],
        ["elsewhere", space, pid, start_time],
        [host, "", pid, start_time],
        None,
    ]
    for place in kept:
        content = json.loads(row(SIGNALS_KEY, 1)) | ({} if place is None else {"place": place})
        (tmp_path / f"huey-signals-{uuid4().hex}.json").write_text(json.dumps(content))
    write_ended(tmp_path, ended_place, 2)
    assert not TotalsFolder(str(tmp_path), fail).fold("own")
    assert len(os.listdir(tmp_path)) == len(kept) + 2
    assert completed(tmp_path) == len(kept) + 2


def test_an_unreadable_file_of_ended_processes_stops_the_folding(tmp_path, ended_place):
    """What is in it is not known, so the others stay as they are."""
    (tmp_path / ENDED).write_text("{")
    write_ended(tmp_path, ended_place, 3)
    reported = []
    folder = TotalsFolder(str(tmp_path), lambda what, exc: reported.append(what))
    folder.fold("own")
    assert folder.totals("own") == {tuple(SIGNALS_KEY): 3}
    assert (tmp_path / ENDED).read_text() == "{"
    assert set(reported) == {str(tmp_path / ENDED)}


def test_a_file_with_a_pid_that_no_process_has_is_not_read(tmp_path, ended_place):
    """The number of a process goes to the operating system, which takes no such number."""
    place = [this_process().host, this_process().pid_namespace, 2**40, 5]
    (tmp_path / "huey-signals-x.json").write_text(
        json.dumps({**json.loads(row(SIGNALS_KEY, 1)), "place": place})
    )
    write_ended(tmp_path, ended_place, 2)
    reported = []
    folder = TotalsFolder(str(tmp_path), lambda what, exc: reported.append(what))
    folder.fold("own")
    assert folder.totals("own") == {tuple(SIGNALS_KEY): 2}
    assert set(reported) == {str(tmp_path / "huey-signals-x.json")}


FOLD = """
    import os, signal, sys
    from huey_signals_kit.sinks import _totals_folder as module
    from huey_signals_kit.sinks._totals_folder import TotalsFolder

    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def killing(function, calls):
        def called(*args):
            nonlocal calls
            calls -= 1
            return function(*args) if calls >= 0 else kill()
        return called

    name, calls = sys.argv[2], int(sys.argv[3])
    setattr(module.os, name, killing(getattr(os, name), calls))
    TotalsFolder(sys.argv[1], print).fold("own")
"""


@pytest.mark.parametrize(
    ("function", "calls"),
    [("replace", 0), ("unlink", 0), ("unlink", 1), ("unlink", 7)],
    ids=["before", "after", "one deleted", "some deleted"],
)
def test_a_process_that_is_killed_while_it_folds_loses_and_doubles_nothing(
    tmp_path, ended_place, function, calls
):
    """Wherever it was, the next one goes on from there."""
    write_ended(tmp_path, ended_place, 10)
    command = [sys.executable, "-c", textwrap.dedent(FOLD), str(tmp_path), function, str(calls)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert completed(tmp_path) == 10
    write_ended(tmp_path, ended_place, 5)
    folder = TotalsFolder(str(tmp_path), fail)
    folder.fold("own")
    assert folder.totals("own") == {tuple(SIGNALS_KEY): 15}
    assert set(os.listdir(tmp_path)) == {ENDED, LOCK}


FOLD_ALL = """
    import sys
    from huey_signals_kit.sinks import _totals_folder as module

    module.MAX_FILES = 3
    folder = module.TotalsFolder(sys.argv[1], print)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(100):
        folder.fold("own")
"""


def test_processes_that_fold_and_read_at_the_same_time_agree(tmp_path, ended_place):
    """Three fold in small steps, and no reader ever sees less or more than there is."""
    write_ended(tmp_path, ended_place, 150)
    command = [sys.executable, "-c", textwrap.dedent(FOLD_ALL), str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    folding = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for each in folding:
        assert each.stdout.readline() == "ready\n"
    for each in folding:
        each.stdin.write("\n")
        each.stdin.flush()
    reader, seen = TotalsFolder(str(tmp_path), fail), set()
    while any(each.poll() is None for each in folding):
        seen.add(reader.totals("own")[tuple(SIGNALS_KEY)])
    assert [each.communicate()[0] for each in folding] == [""] * 3
    assert seen == {150}
    while reader.fold("own"):  # what none of them could fold, as another was folding
        pass
    assert completed(tmp_path) == 150
    assert set(os.listdir(tmp_path)) == {ENDED, LOCK}


def test_the_files_of_recycled_workers_are_folded(tmp_path):
    """As with ``--max-tasks``: each worker folds what those before it have left."""
    script = """
        install()
        for _ in range(40):
            in_child(lambda: do(2))
        print(done(), len(os.listdir(next(os.scandir(os.environ["TMPDIR"])))) <= 5)
    """
    assert run_script(script, tmp_path) == ["80 True"]
