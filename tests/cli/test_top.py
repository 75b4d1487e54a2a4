"""`huey-signals top`: what runs where, live in a terminal and once anywhere else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from rich.cells import cell_len

from huey_signals_kit.cli._top.view import render
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.upkeep import LockInfo, LockInspector
from huey_signals_kit.upkeep.monitor import poller
from huey_signals_kit.upkeep.monitor.model import QueueSnapshot, SeenLock, SeenProcess, SeenTask
from huey_signals_kit.upkeep.monitor.poller import Poller
from tests import servers
from tests.consumer import top_app
from tests.consumer.harness import running_consumer
from tests.selection import slow_except
from tests.support import delete_kit_data, hold, kit_data, put_kit_data, wait_until
from tests.terminal import terminal

NOBODY = replace(this_process(), pid=2**30)
"""A place of this host where no process is."""
ELSEWHERE = replace(this_process(), host="elsewhere", pid_namespace="another")
HOSTILE = "a\x1b]0;owned\x07\x1b[2J\r\n\u202e名前"
SKIPS = "huey_lock_skips_total"
SIGNALS = "huey_signals_total"


def beat(shop, counters=None, process="one", sequence=1, place=None, running=(), **said):
    """A process that says what it does."""
    counters = {
        (key[0], shop.huey.name, *key[1:]): value for key, value in (counters or {}).items()
    }
    said = {"worker": "thread", "started": 5.0, **said}
    record = Heartbeat(
        process,
        place or this_process(),
        sequence=sequence,
        running=tuple(running),
        counters=counters,
        **said,
    )
    open_ledger(shop.huey).write(record)


def runs(name="shop.job", task_id="id", ago=0.0):
    return RunningTask(task_id, name, time.time() - ago)


@pytest.fixture
def work(tmp_path, monkeypatch):
    """`work(shop)`: a real consumer there, one task of it in a lock and one that was skipped."""
    monkeypatch.setenv(top_app.GATE, str(tmp_path / "gate"))
    with ExitStack() as stack:

        def begin(shop, **options):
            enqueue = top_app.declare(shop.huey)
            app = "tests.consumer.top_app"
            running = running_consumer(
                shop.place, tmp_path / "log", app=app, install={}, workers=2, **options
            )
            consumer = stack.enter_context(running)
            stack.callback((tmp_path / "gate").touch)
            results = [enqueue(), enqueue()]
            return consumer, [each.id for each in results]

        yield begin


@pytest.fixture
def watch():
    """`watch(shop, *options)`: the live view in a terminal."""
    with ExitStack() as stack:

        def start(shop, *options, rows=24, command="top"):
            def process(**given):
                return shop.start(command, shop.name, *options, **given)

            return stack.enter_context(terminal(process, rows=rows))

        yield start


def found(shop):
    """What `--json` prints."""
    ran = shop.run("top", shop.name, "--json")
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


@pytest.mark.parametrize("kind", slow_except(["redis"], ["sqlite", "redis"]), indirect=True)
def test_a_real_consumer_is_shown_once(shop, work):
    """Who runs what and holds which lock, who was turned away, and what was counted."""
    consumer, ids = work(shop)
    consumer.wait_until(lambda: found(shop)["events"]["skipped"] == 1, "a skip")
    seen = found(shop)
    (process,) = (each for each in seen["processes"] if each["pid"] == consumer.process.pid)
    (task,) = process["running"]
    (lock,) = seen["locks"]
    assert (process["worker"], process["alive"]) == ("thread", True)
    assert task["id"] in ids
    assert task["about"] is False
    assert (lock["name"], lock["task_id"], lock["alive"]) == (top_app.LOCK, task["id"], True)
    assert (lock["pid"], lock["turned_away"]) == (consumer.process.pid, {task["name"]: 1})
    # As `huey-signals locks` says, also in the first hour.
    (told,) = json.loads(shop.run("locks", "list", shop.name, "--json").out)["locks"]
    assert lock["skips"] == told["skips"] == 1
    assert (seen["store"]["queue"], seen["store"]["schedule"]) == (0, 0)
    ran = shop.run("top", shop.name, "--once")
    assert (ran.code, ran.err) == (0, "")
    assert ran.fits()
    assert "1 alive, 1 task running" in ran.words
    assert task["id"] in ran.out
    assert re.search(rf"{top_app.LOCK} +\d+s +alive +{consumer.process.pid} on ", ran.out)
    assert f"1 skip in the last hour; total: {task['name']} 1" in ran.words
    assert "per second" not in ran.out


def test_where_output_is_no_terminal_it_is_printed_once(sqlite_shop):
    """And that is the end, with no code for a terminal in it."""
    ran = sqlite_shop.command("top", sqlite_shop.name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.fits()
    assert "none known; only processes with the kit" in ran.out
    assert "0 held" in ran.row("locks")[0] + " " + ran.row("locks")[1]


@pytest.mark.slow
def test_the_live_view_goes_on(make_shop, work, watch):
    """At 80 columns and 24 lines: the task, its lock, rates, and the store as it grows."""
    shop = make_shop("redis")
    consumer, _ = work(shop)
    view = watch(shop, "--interval", "0.3")
    view.shows("1 alive, 1 task running", "since start", "per second", top_app.LOCK)
    view.shows(
        f"{consumer.process.pid} on ",
        "1 skip in the last hour; total: tests.consumer.top_app.import_users 1",
    )
    hold(shop.huey, "other")
    text = view.shows("other", "unclaimed", "2 held")
    assert re.search(r"import_users +[0-9a-f-]{36}$", text, re.MULTILINE)
    shop.huey.put("custom", 1)
    wait_until(lambda: numbers(view, "since start")[-2:-1] != ["0"], 20, "growth of the store")
    wait_until(lambda: numbers(view, "per second")[2:3] not in ([], ["-"]), 20, "a rate")
    assert view.end(signal.SIGINT) == 130
    assert (view.screen.widest, view.screen.tallest, view.screen.odd) == (80, 24, [])
    assert view.left_as_found


SLOW = """
import time
from pathlib import Path
from huey_signals_kit.upkeep.monitor import poller

def later(read):
    def wait_and_read(*args, **options):
        while not Path("go").exists():
            time.sleep(0.02)
        return read(*args, **options)
    return wait_and_read

poller.make_report = later(poller.make_report)
poller.LockInspector.all = later(poller.LockInspector.all)
"""


def test_the_first_frame_does_not_wait_for_the_whole_store(sqlite_shop, watch):
    """It is drawn before all is read, and what is missing is filled in."""
    module = (sqlite_shop.path / sqlite_shop.module).with_suffix(".py")
    module.write_text(module.read_text() + SLOW)
    beat(sqlite_shop, running=[runs("shop.job", "its-id")], locks=("told",))
    for name in ("told", "other"):
        hold(sqlite_shop.huey, name)
    view = watch(sqlite_shop, "--interval", "3600")
    text = view.shows("store, reading", "1 held, searching for more", "its-id", "told")
    assert "other" not in text
    (sqlite_shop.path / "go").touch()
    text = view.shows("2 held", "other")
    assert "searching for more" not in text
    wait_until(lambda: "reading" not in view.text, 30, "the figures")
    assert view.end(signal.SIGINT) == 130


def numbers(view, label):
    rows = [line for line in view.text.splitlines() if line.strip().startswith(label)]
    return rows[0].split(label)[1].split() if rows else []


@pytest.mark.parametrize(
    "signum", slow_except([signal.SIGTERM], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
)
def test_a_signal_leaves_the_terminal_as_it_was_found(sqlite_shop, watch, signum):
    """Its settings, its cursor, its first screen; the exit code is the other commands'."""
    view = watch(sqlite_shop)
    view.shows("locks         0 held")
    assert not view.left_as_found
    assert view.end(signum) == 128 + signum
    assert view.left_as_found
    assert view.raw.endswith("\x1b[?1049l")


def test_q_ends_it_and_other_keys_do_nothing(sqlite_shop, watch):
    """No key is on the screen, the shell gets none afterwards, and the terminal is as before."""
    view = watch(sqlite_shop, "--interval", "0.1")
    view.shows("0 held", "q quit")
    view.type("what\x1b[15~\x1b[D\n")
    hold(sqlite_shop.huey, "later")
    view.shows("later")
    view.type("q more")
    assert view.end() == 0
    assert "what" not in view.raw
    assert view.unread() == b""
    assert view.left_as_found


def test_ctrl_c_ends_it(sqlite_shop, watch):
    """With the code that shells know."""
    view = watch(sqlite_shop)
    view.shows("0 held")
    view.type("\x03")
    assert view.end() == 130
    assert view.left_as_found


def test_a_terminal_that_is_gone_ends_it(sqlite_shop, watch):
    """As when somebody closes the window."""
    view = watch(sqlite_shop)
    view.shows("0 held")
    assert view.hang_up() in (1, 128 + signal.SIGHUP)


def test_another_size_of_the_window_is_filled(sqlite_shop, watch, monkeypatch):
    """Soon after it has changed, whatever the interval and the environment say."""
    monkeypatch.setenv("LINES", "24")
    view = watch(sqlite_shop, "--interval", "3600")
    view.shows("0 held")
    wait_until(lambda: len(view.screen.lines) == 24, 10, "24 lines")
    view.resize(80, 12)
    wait_until(lambda: len(view.screen.lines) == 12, 10, "12 lines")
    assert max(cell_len(line) for line in view.screen.lines) > 60
    view.resize(60, 50)
    wait_until(lambda: len(view.screen.lines) == 50, 10, "50 lines")
    view.shows("0 held")
    assert max(cell_len(line) for line in view.screen.lines) <= 60
    assert view.end(signal.SIGINT) == 130


SHELL = """\
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-m", "huey_signals_kit", *sys.argv[1:]])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.tcsetpgrp(0, os.getpgid(0))
    print("stopped", flush=True)
    sys.stdin.readline()
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
os.tcsetpgrp(0, os.getpgid(0))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_ctrl_z_gives_the_terminal_back_until_it_is_wanted_again(sqlite_shop):
    """And Ctrl-C then ends it as ever."""
    sqlite_shop.write("shell", SHELL)

    def process(**given):
        command = [sys.executable, "shell.py", "top", sqlite_shop.name]
        path = {"PYTHONPATH": str(servers.__file__).rpartition("/tests/")[0]}
        environment = {**os.environ, **path, "COLUMNS": "80"}
        return subprocess.Popen(command, cwd=sqlite_shop.path, env=environment, **given)

    with terminal(process) as view:
        view.shows("0 held")
        view.type("\x1a")
        view.shows("stopped")
        assert view.left_as_found
        view.type("fg\n")
        wait_until(lambda: view.screen.alternate, 20, "the screen")
        view.shows("0 held")
        view.type("\x03")
        assert view.end() == 130
        assert view.left_as_found


RAISES = """\
from pathlib import Path
from huey import SqliteHuey
from huey.storage import SqliteStorage

class Odd(SqliteStorage):
    def queue_size(self):
        return 1 / (not Path("raise").exists())

huey = SqliteHuey("q", filename="q.db", storage_class=Odd)
"""


def test_an_exception_leaves_the_terminal_as_it_was_found(folder, watch):
    """It is told where a person can read it."""
    folder.name = "odd.huey"
    folder.write("odd", RAISES)
    view = watch(folder, "--interval", "0.1")
    view.shows("0 held")
    (folder.path / "raise").touch()
    assert view.end() == 1
    assert view.left_as_found
    assert "ZeroDivisionError" in view.raw.rpartition("\x1b[?1049l")[2]


class OwnRedis:
    """A Redis that the test may stop and start again, on the same port."""

    def __init__(self, folder):
        self._folder, self._port = str(folder), servers.free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0?socket_timeout=1000"
        self.start()

    def start(self):
        command = servers._redis_command(servers.find_redis(), self._folder, (), self._port)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        up = servers._is_our_redis
        wait_until(lambda: up(self._port, self.process.pid), 30, "the Redis")

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_redis(tmp_path):
    try:
        server = OwnRedis(tmp_path)
    except servers.NoServer as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


def test_a_storage_that_goes_away_is_waited_for(make_shop, own_redis, watch):
    """The screen says so, with the figures from before; and goes on when it is back."""
    shop = make_shop("redis", own_redis.url)
    shop.tasks.job()
    view = watch(shop, "--interval", "0.2")
    view.shows("0 held")
    own_redis.stop()
    text = view.shows("cannot use the Redis at 127.0.0.1:", "as of ")
    assert "0 held" in text
    own_redis.start()
    wait_until(lambda: "cannot use" not in view.text, 30, "the storage")
    hold(shop.huey, "after")
    view.shows("after", "1 held")
    assert view.end(signal.SIGTERM) == 143
    assert view.left_as_found


@pytest.mark.slow
def test_a_storage_that_hangs_does_not_hang_the_screen(make_shop, own_redis, watch):
    """It says so, ends on Ctrl-C at once, and would have gone on."""
    shop = make_shop("redis", own_redis.url)
    view = watch(shop, "--interval", "0.2")
    view.shows("0 held")
    own_redis.process.send_signal(signal.SIGSTOP)
    view.shows("has not answered for", "as of ")
    own_redis.process.send_signal(signal.SIGCONT)
    wait_until(lambda: "has not answered" not in view.text, 30, "the storage")
    own_redis.process.send_signal(signal.SIGSTOP)
    view.shows("has not answered for")
    view.type("\x03")
    assert view.end() == 130
    assert view.left_as_found


@pytest.mark.parametrize("options", [[], ["--once"]])
def test_ctrl_c_ends_it_while_the_first_look_hangs(frozen_shop, watch, options):
    """At once; the terminal was never taken."""
    shop = frozen_shop(b"hgetall")
    view = watch(shop, *options)
    assert shop.freezer.frozen.wait(30)
    view.type("\x03")
    assert view.end() == 130
    assert "\x1b[?1049h" not in view.raw
    assert view.left_as_found


@pytest.mark.parametrize("options", slow_except([[]], [[], ["--once"], ["--json"]]))
def test_a_storage_that_cannot_be_used_at_the_start_ends_it(folder, watch, options):
    """As it ends the other commands, and the terminal was never taken."""
    folder.name = "mine.huey"
    folder.write("mine", "from huey import RedisHuey\nhuey = RedisHuey('q', url='redis://:1/0')\n")
    view = watch(folder, *options)
    assert view.end() == 1
    assert "huey-signals top: cannot use the Redis at " in view.raw
    assert "\x1b[?1049h" not in view.raw
    assert view.left_as_found


def test_there_has_to_be_a_huey(folder):
    """As for all commands."""
    ran = folder.run("top", "nothing.huey")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("huey-signals top: there is no module nothing")


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "1e9"])
def test_an_interval_that_makes_no_sense_is_refused(sqlite_shop, given):
    """With what it takes."""
    ran = sqlite_shop.run("top", sqlite_shop.name, "--interval", given)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("huey-signals top: --interval takes 0.1 to 3600 seconds; got ")


def test_an_interval_that_is_no_number_is_refused(sqlite_shop):
    """By the command line itself."""
    assert sqlite_shop.run("top", sqlite_shop.name, "--interval", "often").code == 2


def test_no_name_that_stands_in_the_store_reaches_the_terminal(sqlite_shop, watch):
    """Of tasks, hosts, workers and locks: what a terminal would obey is written out."""
    place = replace(ELSEWHERE, host=HOSTILE)
    counters = {(SKIPS, HOSTILE, HOSTILE): 1}
    beat(sqlite_shop, counters, place=place, worker=HOSTILE, running=[runs(HOSTILE, HOSTILE)])
    hold(sqlite_shop.huey, HOSTILE)
    view = watch(sqlite_shop)
    view.shows("1 held", "a\\x1b]0;owned\\x07\\x1b[2J")
    assert view.end(signal.SIGINT) == 130
    assert view.screen.odd == []
    assert (view.screen.widest, view.screen.tallest) == (80, 24)
    ran = sqlite_shop.run("top", sqlite_shop.name, "--once")
    assert all(each.isprintable() or each == "\n" for each in ran.out)


def test_what_dead_processes_and_other_hosts_say_is_marked(sqlite_shop):
    """The dead by a word, the clocks of others by a ~."""
    beat(sqlite_shop, place=NOBODY, running=[runs("shop.lost", "its-id", 90)])
    beat(sqlite_shop, process="two", place=ELSEWHERE, running=[runs("shop.far", "far-id", 3700)])
    ran = sqlite_shop.run("top", sqlite_shop.name, "--once")
    assert "0 alive, 1 unknown, 1 task running, 1 dead" in ran.out
    assert re.search(rf"{NOBODY.pid} on .* thread worker +dead +died with 1 task$", ran.out, re.M)
    assert re.search(r" 1m 3\ds +shop\.lost +its-id$", ran.out, re.MULTILINE)
    assert re.search(r" ~1h 1m +shop\.far +far-id$", ran.out, re.MULTILINE)
    assert ran.fits()


def test_a_semaphore_is_shown_with_its_slots(make_shop):
    """How many are taken."""
    from huey.contrib.helpers import lock_task_semaphore

    shop = make_shop("redis")
    ran = []

    @lock_task_semaphore(shop.huey, "few", 3)
    def inside():
        ran.append(shop.run("top", shop.name, "--once"))

    inside()
    assert re.search(r"few +0s +unknown +1 slot$", ran[0].out, re.MULTILINE)


def test_records_that_cannot_be_read_are_told(sqlite_shop):
    """What they say is missing."""
    put_kit_data(sqlite_shop.huey, "process:one", b"junk")
    ran = sqlite_shop.run("top", sqlite_shop.name, "--once")
    assert "1 record of the ledger cannot be read: see huey-signals report" in ran.out


class Clock:
    """One that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def looked(looker, clock, seconds=0.0):
    clock.now += seconds
    return looker.poll()


def test_rates_are_those_of_the_last_seconds(sqlite_shop):
    """Of what is counted, once enough time has passed; what nobody counts has none."""
    clock = Clock()
    looker = Poller(sqlite_shop.huey, clock)
    beat(sqlite_shop, {(SIGNALS, "shop.job", "error"): 5, (SKIPS, "shop.job", "held"): 1})
    hold(sqlite_shop.huey, "held")
    first = looked(looker, clock)
    assert (first.span, first.events["errors"].rate, first.locks[0].recent) == (None, None, None)
    beat(
        sqlite_shop,
        {(SIGNALS, "shop.job", "error"): 25, (SKIPS, "shop.job", "held"): 4},
        sequence=2,
    )
    seen = looked(looker, clock, 10)
    assert (seen.span, seen.events["errors"].rate, seen.events["errors"].total) == (10, 2.0, 25)
    assert (seen.events["done"].total, seen.events["done"].rate) == (None, None)
    assert (seen.events["revoked"].total, seen.events["revoked"].rate) == (0, 0.0)
    assert (seen.locks[0].recent, seen.locks[0].turned_away) == (3, (("shop.job", 4),))
    looked(looker, clock, 5)
    later = looked(looker, clock, 11)
    assert (later.span, later.events["errors"].rate) == (16, 0.0)


def test_rates_begin_anew_when_counters_were_lost(sqlite_shop):
    """Never less than nothing."""
    clock = Clock()
    looker = Poller(sqlite_shop.huey, clock)
    beat(sqlite_shop, {(SIGNALS, "shop.job", "error"): 50})
    looked(looker, clock)
    delete_kit_data(sqlite_shop.huey, *kit_data(sqlite_shop.huey))
    beat(sqlite_shop, {(SIGNALS, "shop.job", "error"): 2}, process="two")
    lost = looked(looker, clock, 10)
    assert (lost.span, lost.events["errors"].rate, lost.events["errors"].total) == (None, None, 2)


def test_the_store_is_read_for_a_tenth_of_the_time(sqlite_shop, monkeypatch):
    """The lengths of queue and schedule are of now, the rest as old as is said."""
    clock, made = Clock(), []
    real = poller.make_report

    def slow(huey, **options):
        clock.now += 10
        made.append(clock.now)
        return real(huey, **options)

    monkeypatch.setattr(poller, "make_report", slow)
    looker = Poller(sqlite_shop.huey, clock)
    assert looker.poll(None).store["keys"].now == 0
    sqlite_shop.huey.put("custom", 1)
    sqlite_shop.tasks.job()
    seen = looked(looker, clock, 89)
    assert (len(made), seen.store_age) == (1, 89)
    assert (seen.store["queue"].change, seen.store["keys"].change) == (1, 0)
    clock.now += 1
    seen = looker.poll(None)
    assert (len(made), seen.store["keys"].change, seen.store["bytes"].change > 0) == (2, 1, True)


def test_a_report_that_fails_is_made_anew_at_once(sqlite_shop, monkeypatch):
    """However long it took to fail, the next look is as good as any."""
    clock, real = Clock(), poller.make_report

    def fail(huey, **options):
        clock.now += 1000
        raise OSError("gone")

    monkeypatch.setattr(poller, "make_report", fail)
    looker = Poller(sqlite_shop.huey, clock)
    with pytest.raises(OSError, match="gone"):
        looker.poll(None)
    monkeypatch.setattr(poller, "make_report", real)
    assert looker.poll(None).store["keys"].now == 0


def test_between_two_scans_known_locks_are_as_of_now(sqlite_shop, monkeypatch):
    """So are those that a process says to hold; any other is found by the next scan."""
    clock, real = Clock(), LockInspector.all

    def slow(watch):
        clock.now += 10
        return real(watch)

    monkeypatch.setattr(LockInspector, "all", slow)
    looker = Poller(sqlite_shop.huey, clock)
    hold(sqlite_shop.huey, "first")
    hold(sqlite_shop.huey, "freed")
    names = [[each.lock.name for each in looked(looker, clock).locks]]
    for name in ("told", "new"):
        hold(sqlite_shop.huey, name)
    beat(sqlite_shop, locks=("told",))
    sqlite_shop.huey.lock_task("freed").clear()
    seen = looked(looker, clock, 50)
    names.append([each.lock.name for each in seen.locks])
    names.append([each.lock.name for each in looked(looker, clock, 50).locks])
    assert names == [["first", "freed"], ["first", "told"], ["first", "new", "told"]]
    assert seen.locks_age == 60


def crowd(processes, locks):
    """Many of all, with names that are long and wide."""
    now = datetime.now(timezone.utc)
    task = SeenTask("i" * 36, "名前." * 20, 1e6, True)
    return QueueSnapshot(
        queue="queue" * 30,
        at=now,
        processes=tuple(
            SeenProcess(
                "host" * 20, 2**31 - n, "thread", (True, False, None)[n % 3], (task,) * n, n
            )
            for n in range(processes)
        ),
        locks=tuple(
            SeenLock(
                LockInfo("ロック" * 20, since=now, host="h" * 50, pid=n, alive=False, skips=10**9),
                recent=10**6,
                turned_away=(("name" * 30, 10**6),) * 9,
            )
            for n in range(locks)
        ),
        span=15.0,
        store_age=100_000.0,
        locks_age=1e5,
    )


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize(("processes", "locks"), [(0, 0), (1, 1), (6, 0), (0, 9), (8, 8)])
def test_every_screen_is_within_its_size(width, processes, locks):
    """However small, and whatever there is to show."""
    seen = crowd(processes, locks)
    for height in range(1, 60):
        lines = render(seen, "the storage", width, height, "a problem " * 30)
        assert len(lines) <= height
        assert max(cell_len(line.plain) for line in lines) <= width


@pytest.mark.parametrize("height", [14, 20, 24, 40])
def test_what_does_not_fit_is_counted(height):
    """No process, task or lock is missing from the sum of those that are shown and the rest."""
    seen = crowd(7, 9)
    text = "\n".join(line.plain for line in render(seen, "the storage", 80, height))
    more = {
        kind: sum(int(number) for number in re.findall(rf"(\d+) more {kind}", text))
        for kind in ("process", "task", "lock")
    }
    assert more["process"] + len(re.findall(r" thread worker ", text)) == 7
    assert more["task"] + len(re.findall(r" i{36}$", text, re.MULTILINE)) == 21
    assert more["lock"] + text.count("ロック" * 3) == 9


def test_who_matters_most_is_shown_where_not_all_fits():
    """First those that died at work, then those that work."""
    task = SeenTask("id", "name", 1.0, False)
    processes = [
        SeenProcess("host", n, "thread", n != 30, (task,) if n in (30, 31) else (), 0)
        for n in range(40)
    ]
    seen = replace(crowd(0, 0), processes=tuple(processes))
    shown = [line.plain for line in render(seen, "the storage", 80, 24)]
    heads = [line.split()[0] for line in shown if " on host " in line]
    assert heads[:2] == ["30", "31"]


def test_a_lock_whose_holder_was_killed_is_shown_as_such(make_shop, work, watch):
    """On the host of both at once."""
    shop = make_shop("sqlite")
    consumer, _ = work(shop, worker="process")
    view = watch(shop, "--interval", "0.3")
    text = view.shows(top_app.LOCK, "import_users", "task running")
    pid = int(re.search(rf"{top_app.LOCK} +\S+ +alive +(\d+) on", text)[1])
    consumer.wait_until(lambda: any(each["running"] for each in found(shop)["processes"]), "work")
    os.kill(pid, signal.SIGKILL)
    text = view.shows("1 by dead processes", "died with 1 task")
    assert re.search(rf"{top_app.LOCK} +\S+ +dead +{pid} on ", text)
    assert re.search(rf" {pid} on .* process worker +dead +died with 1 task", text)
    assert view.end(signal.SIGINT) == 130
