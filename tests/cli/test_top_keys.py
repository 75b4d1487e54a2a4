"""The screen of `huey-signals top`: keys, order, history and pauses, drawn in this process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.cli._top.controls import LOCKS, PROCESSES, Controls
from huey_signals_kit.cli._top.history import history_lines, sparkline
from huey_signals_kit.cli._top.keyboard import Keyboard
from huey_signals_kit.cli._top.reading import Pause, UpdateReader
from huey_signals_kit.cli._top.view import render
from huey_signals_kit.ledger import History
from huey_signals_kit.ledger._history import HistoryWriter
from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.upkeep import LockInfo
from huey_signals_kit.upkeep.monitor.model import QueueSnapshot, SeenLock, SeenProcess, SeenTask
from huey_signals_kit.upkeep.monitor.poller import Poller
from tests.support import hold, wait_until
from tests.terminal import terminal

NOW = datetime.now(timezone.utc).replace(hour=12)


def process(pid, *tasks):
    running = tuple(SeenTask(f"id-{name}", name, seconds, False) for name, seconds in tasks)
    return SeenProcess("host", pid, "thread", True, running, 0)


def lock(name, skips=0, seconds=0.0, alive=True):
    since = NOW - timedelta(seconds=seconds)
    return SeenLock(
        LockInfo(name, since=since, pid=1, host="h", alive=alive, skips=skips), None, ()
    )


CROWD = QueueSnapshot(
    queue="shop",
    at=NOW,
    processes=(
        process(1, ("zip", 5.0), ("add", 9.0)),
        process(2),
        process(3, ("mail", 90.0)),
        *(process(n) for n in range(4, 30)),
    ),
    locks=(lock("a", 1, 50.0), lock("b", 7), lock("c", 0, 99.0), lock("d", 2, alive=False)),
    store_age=0.0,
    locks_age=0.0,
)


def drawn(controls, snapshot=CROWD, width=80, height=30, **options):
    """The lines of a screen."""
    lines = render(snapshot, "here", width, height, controls=controls, **options)
    return [line.plain.rstrip() for line in lines]


def shown_pids(lines):
    return [int(line.split()[0]) for line in lines if " on host " in line]


def shown_locks(lines):
    return re.findall(r"^  ([a-d]) ", "\n".join(lines), re.MULTILINE)


def press(controls, *keys):
    drawn(controls)  # the view says how far there is to scroll
    for key in keys:
        controls.press(key)


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ([b"jq"], ["j", "q"]),
        ([b"\x1b[A\x1bOB"], ["up", "down"]),
        ([b"\x1b[5", b"~\x1b", b"[6~"], ["page up", "page down"]),
        ([b"\x1b[H\x1b[4~\t"], ["home", "end", "tab"]),
        ([b"\x1b[15~x"], ["\x1b[15~", "x"]),
        (["ü名".encode()], ["ü", "名"]),
    ],
)
def test_keys_have_names(typed, keys):
    """Also a key whose code comes in two parts."""
    keyboard = Keyboard()
    assert [key for part in typed for key in keyboard._parse(part.decode())] == keys


def test_scrolling_shows_every_row_once_and_stops_at_the_end():
    """Down by lines and pages, and back; the rows that are not shown are counted."""
    controls = Controls()
    first = drawn(controls)
    seen = set(shown_pids(first))
    assert f"  and {29 - len(seen)} more processes" in first
    for _ in range(40):
        press(controls, "j")
        seen.update(shown_pids(drawn(controls)))
    assert seen == set(range(1, 30))
    last = drawn(controls)
    assert shown_pids(last)[-1] == 29
    assert "lines above" in "\n".join(last)
    press(controls, "down", "page down", "end")
    assert drawn(controls) == last
    press(controls, "page up", "home")
    assert drawn(controls) == drawn(Controls())


def test_the_process_of_the_first_task_is_always_shown():
    """Its line stays above the tasks, when they are scrolled."""
    tasks = [(f"task{n}", 1.0) for n in range(40)]
    busy = replace(CROWD, processes=(process(7, *tasks),))
    controls = Controls()
    drawn(controls, busy)
    for _ in range(5):
        controls.press("j")
    lines = drawn(controls, busy)
    first = next(n for n, line in enumerate(lines) if line.startswith("processes")) + 1
    assert lines[first].split()[:3] == ["7", "on", "host"]
    assert "task5" in lines[first + 1]


def test_tab_scrolls_the_other_list():
    """Without it, keys scroll the list that does not fit."""
    controls = Controls()
    press(controls, "j")
    assert (controls.offset(PROCESSES), controls.offset(LOCKS)) == (1, 0)
    many = replace(CROWD, locks=tuple(lock(f"lock{n}") for n in range(40)))
    drawn(controls, many)
    controls.press("tab")
    controls.press("j")
    assert (controls.offset(PROCESSES), controls.offset(LOCKS)) == (1, 1)
    only_locks = replace(many, processes=())
    controls = Controls()
    drawn(controls, only_locks)
    controls.press("j")
    assert controls.offset(LOCKS) == 1


@pytest.mark.parametrize(
    ("key", "pids", "locks", "tasks"),
    [
        ("p", [1, 3], ["d", "a", "b", "c"], ["zip", "add"]),
        ("t", [3, 1], ["d", "c", "a", "b"], ["mail", "add", "zip"]),
        ("n", [1, 3], ["d", "a", "b", "c"], ["add", "zip"]),
        ("s", [1, 3], ["d", "b", "a", "c"], ["zip", "add"]),
    ],
)
def test_a_key_each_sorts(key, pids, locks, tasks):
    """By process, running time, name and skips; locks of dead processes stay first."""
    controls = Controls()
    press(controls, key)
    lines = drawn(controls)
    assert shown_pids(lines)[:2] == pids
    assert shown_locks(lines) == locks
    found = re.findall(r"^ +\d\w*(?: \d+s)? +(zip|add|mail) ", "\n".join(lines), re.MULTILINE)
    assert found[: len(tasks)] == tasks


def test_the_last_line_says_the_keys():
    """Of the terminal that has them; of another, how the view ends."""
    assert drawn(Controls())[-1] == (
        "q quit  arrows PgDn scroll  Tab locks  sort p process t time n name s skips"
    )
    assert drawn(Controls(), has_keys=False)[-1] == "Ctrl-C quits"


def test_the_history_has_a_character_per_minute():
    """As high as the share in the largest count; an hour fits in 80 columns, three in 200."""
    assert sparkline([0, 1, 4, 8, 8]) == " ▁▄██"
    minutes = [0] * 120 + [2] * 59 + [8]
    history = History(0, {("signal", "pay", "complete"): minutes}, {})
    done, errors, refused = history_lines(history, 80)
    assert done.plain == f"done 1h    {'▂' * 59}█    8/min"
    assert errors.plain.split() == ["errors", "1h", "none"]
    assert refused.plain.split() == ["refused", "1h", "none"]
    assert history_lines(history, 200)[0].plain == f"done 3h    {' ' * 120}{'▂' * 59}█    8/min"
    (line,) = history_lines(History(0, {}, {}), 80)
    assert line.plain == "last 1h    nothing counted until a minute ago"
    assert history_lines(history, 20) == []


def test_pauses_and_history_are_read_from_the_store(sqlite_shop):
    """Switches that stop a task now, until when, and what was counted in the last minutes."""
    huey, job = sqlite_shop.huey, sqlite_shop.tasks.job
    huey.revoke_all(job.task_class, revoke_until=datetime(2099, 1, 1))
    huey.put("rt:other.task", (None, False))
    huey.put("rt:old.task", (datetime(2001, 1, 1), False))
    store = open_kit_store(huey, UPKEEP)
    assert HistoryWriter(lambda: store).add({("huey_signals_total", "q", "t", "complete"): 5})
    update = UpdateReader(huey, Poller(huey)).read(None)
    name = f"{sqlite_shop.module}.job"
    assert update.pauses == (
        Pause("other.task", None, False),
        Pause(name, datetime(2099, 1, 1), False),
    )
    assert sum(update.history.minutes["signal", "t", "complete"]) == 5
    ran = sqlite_shop.run("top", sqlite_shop.name, "--once")
    assert f"other.task forever, {name} until 2099-01-01 00:00 UTC" in ran.out
    assert re.search(r"^done 1h +█ +5/min$", ran.out, re.MULTILINE)


def test_a_pause_that_ends_today_has_no_date():
    """And one for the next run says so."""
    pauses = [Pause("a.b", NOW.replace(hour=13, minute=5, tzinfo=None), False)]
    pauses.append(Pause("c.d", None, True))
    text = "\n".join(drawn(Controls(), pauses=pauses, zone="local"))
    assert "a.b until 13:05 local, c.d for the next run" in text


@pytest.mark.slow
def test_without_a_terminal_to_type_on_it_is_shown_all_the_same(sqlite_shop):
    """With stdin from elsewhere, no key is read, and the last line names Ctrl-C."""

    def start(**given):
        words = f"{sys.executable} -m huey_signals_kit top {sqlite_shop.name}"
        command = ["sh", "-c", f"exec {words} </dev/null"]
        return subprocess.Popen(command, cwd=sqlite_shop.path, env=sqlite_shop.environment, **given)

    with terminal(start) as view:
        view.shows("0 held", "Ctrl-C quits")
        view.type("q")
        hold(sqlite_shop.huey, "later")
        view.shows("later")
        assert view.end(signal.SIGTERM) == 143


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (160, 50), (30, 8)])
def test_keys_work_on_a_real_terminal_of_any_size(sqlite_shop, columns, rows):
    """Scrolled and sorted by keys; q leaves the terminal as it was found."""
    for n in range(60):
        sqlite_shop.huey.put_if_empty(f"{sqlite_shop.huey.name}.lock.lock{n:02}", "1")

    def start(**given):
        return sqlite_shop.start("top", sqlite_shop.name, **given)

    with terminal(start, columns, rows) as view:
        view.shows("lock00")
        view.type("\x1b[F")
        view.shows("lock59")
        view.type("g")
        view.shows("lock00")
        assert view.screen.widest <= columns
        view.type("q")
        assert view.end() == 0
        assert view.left_as_found


@pytest.mark.slow
def test_after_a_stop_the_keys_work_again(sqlite_shop):
    """A shell that is shown meanwhile sets the terminal to lines with an echo."""

    def start(**given):
        return sqlite_shop.start("top", sqlite_shop.name, **given)

    with terminal(start) as view:
        view.shows("0 held")
        view.process.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(view.process.pid, os.WUNTRACED)[1])
        termios.tcsetattr(view._theirs, termios.TCSANOW, view.before)
        view.process.send_signal(signal.SIGCONT)
        wait_until(lambda: view.attributes != view.before, 20, "the settings")
        view.shows("0 held")
        view.type("q")
        assert view.end() == 0
        assert view.left_as_found
