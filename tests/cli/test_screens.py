"""Every screen on a terminal of 80x24 and of 160x50: ids whole, lines as wide as the terminal."""

from __future__ import annotations

import re
import sys
import uuid
from datetime import datetime

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from rich.cells import cell_len

from huey_signals_kit.cli._shared.folding import fold
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.ledger._history import HistoryWriter
from huey_signals_kit.metrics.values import Durations
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.store import UPKEEP, open_kit_store
from tests.locks import ELSEWHERE, GONE, key, taken_by
from tests.support import hold, put_kit_data, run_all

WIDTHS = [44, 80, 160]
COMMANDS = {
    "locks": (["locks"], 3),
    "locks release": (["locks", "release", "{lock}"], 1),
    "tokens list": (["tokens", "list"], 2),
    "tokens show": (["tokens", "show", "{token}"], 1),
    "tokens delete": (["tokens", "delete", "{token}"], 1),
    "explain": (["explain", "{running}"], 1),
    "top": (["top", "--once"], 0),
    "report": (["report"], 0),
    "report --details": (["report", "--details"], 0),
    "sweep": (["sweep"], 0),
    "purge": (["purge"], 0),
    "forget": (["forget"], 0),
    "health": (["health"], 0),
}
"""The words of each command, and how many ids it shows at least."""


@pytest.fixture
def crowded(sqlite_shop):
    """A shop with ids wherever there can be one, and their texts in `ids`."""
    shop, huey = sqlite_shop, sqlite_shop.huey
    token, running, dead, far, named = (str(uuid.uuid4()) for _ in range(5))
    huey.revoke_by_id(token)
    huey.revoke_by_id(f"import-of-account-{named}-of-the-shop")
    huey.put(f"rt:shop.{'long.' * 9}task", (None, False))
    taken_by(huey, f"sync:account:{named}", GONE, task_id=dead)
    taken_by(huey, "index", ELSEWHERE, task_id=far)
    huey.put_if_empty(key(huey, "bare"), "1")
    runs = (RunningTask(running, "shop.import_users", 1.0),)
    beat = Heartbeat("one", this_process(), "thread", 5.0, 1, running=runs)
    open_ledger(huey).write(beat)
    shop.words = {"token": token, "running": running, "lock": f"sync:account:{named}"}
    shop.ids = {token, running, dead, far, named}
    return shop


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_an_id_is_never_split(crowded, monkeypatch, name, width):
    """Each id on the screen is there with all of its 36 characters, and no part of one is."""
    monkeypatch.setenv("COLUMNS", str(width))
    words, least = COMMANDS[name]
    verb = next(n for n, word in enumerate([*words, "--"]) if word[0] in "-{")
    words = [word.format(**crowded.words) for word in words]
    ran = crowded.run(*words[:verb], crowded.name, *words[verb:])
    assert ran.code in (0, 1), ran.err
    assert sum(each in ran.out for each in crowded.ids) >= least, ran.out
    rest = ran.out
    for each in crowded.ids:
        rest = rest.replace(each, "")
    parts = {part for each in crowded.ids for part in (each[:8], each[-8:], each[9:18])}
    assert [part for part in parts if part in rest] == [], ran.out


@pytest.mark.parametrize("width", WIDTHS)
def test_a_lock_is_one_line_with_what_fits(sqlite_shop, monkeypatch, width):
    """Those of dead processes first; a narrow terminal names the columns that it leaves out."""
    monkeypatch.setenv("COLUMNS", str(width))
    task_id = str(uuid.uuid4())
    hold(sqlite_shop.huey, "bare")
    taken_by(sqlite_shop.huey, "zones", GONE, task_id=task_id)
    ran = sqlite_shop.run("locks", sqlite_shop.name)
    lines = ran.out.splitlines()
    assert [line.split()[:2] for line in lines[2:4]] == [["zones", "dead"], ["bare", "unclaimed"]]
    assert max(map(cell_len, lines[:8])) <= width
    assert sum(task_id in line for line in lines) == 1
    is_left_out = "No room for " in ran.out
    assert is_left_out == (width < 160)


def test_an_unclaimed_lock_comes_with_what_to_do(sqlite_shop):
    """What it means that no process claims it, and the command that releases it."""
    hold(sqlite_shop.huey, "bare")
    ran = sqlite_shop.run("locks", sqlite_shop.name)
    assert ran.code == 0
    assert "Unclaimed: no known process says that it holds the lock." in ran.words
    assert f"\n  huey-signals locks release {sqlite_shop.name} bare --apply\n" in ran.out


def test_a_doubt_about_holders_is_explained_once(sqlite_shop):
    """With the names of their locks, and what would settle it."""
    for name in ("a", "b", "c", "d"):
        taken_by(sqlite_shop.huey, name, ELSEWHERE)
    assert (
        "Unknown whether the holders of 4 locks are alive (a, b, c and 1 more): no process "
        "watches it. A consumer with the kit would watch it, or locks release with --apply"
    ) in sqlite_shop.run("locks", sqlite_shop.name).words


@pytest.mark.parametrize("width", [*WIDTHS, 20, 37])
def test_text_is_folded_at_words_and_never_in_an_id(width):
    """Also where an id is part of a longer word; no character is lost."""
    task_id = str(uuid.uuid4())
    text = f"the key r:{task_id}, and 名前 {'x' * 200}-{task_id}-{'y' * 50} of it"
    lines = fold(text, width)
    assert sum(line.count(task_id) for line in lines) == 2
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    for line in lines:
        assert cell_len(line) <= width or re.fullmatch(rf".?.?{task_id},?", line)


@pytest.fixture
def on_terminal(monkeypatch):
    """`on_terminal(columns, lines)`: stdout and stderr count as a terminal of that size."""

    def set_up(columns, lines):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))
        monkeypatch.setenv("NO_COLOR", "1")
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)

    return set_up


def spoil(shop):
    """Everything that a report can complain about at once."""
    shop.fill()
    huey = shop.huey
    huey.storage.put_data("result", b"junk")
    huey.storage.enqueue(b"junk")
    huey.put("rt:old.gone", (None, False))
    taken_by(huey, "dead", GONE)
    open_ledger(huey).write(Heartbeat("gone", GONE, "thread", 1.0, 1))
    put_kit_data(huey, "process:one", b"junk")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (160, 50)])
def test_a_report_begins_with_the_verdict_and_fits_one_screen(
    sqlite_shop, on_terminal, columns, lines
):
    """Whatever is wrong, the first sentence names all of it; --details has the rest."""
    spoil(sqlite_shop)
    on_terminal(columns, lines)
    ran = sqlite_shop.run("report", sqlite_shop.name)
    assert ran.code == 1
    assert ran.words.startswith(
        "Needs attention: 1 value that cannot be read, 1 message that cannot be read, 1 record of "
        "the ledger that cannot be read, 1 lock held by dead processes, 2 messages without a live "
        "worker and 1 pause switch without a task."
    )
    assert len(ran.out.splitlines()) < lines
    details = sqlite_shop.run("report", sqlite_shop.name, "--details").words
    assert details.count(" - ") == 6
    assert details.startswith(ran.words.partition(" Queue ")[0])


def test_a_report_says_when_nothing_needs_a_person(sqlite_shop, on_terminal):
    """And what can be deleted all the same."""
    assert sqlite_shop.run("report", sqlite_shop.name).out.startswith("Nothing needs attention.\n")
    sqlite_shop.huey.revoke_by_id(str(uuid.uuid4()))
    on_terminal(80, 24)
    ran = sqlite_shop.run("report", sqlite_shop.name)
    assert ran.out.startswith("Nothing needs attention; 1 orphaned token (sweep) can be deleted.\n")


def test_times_have_zones_and_durations_units(sqlite_shop):
    """In a report: in UTC, or in the local time of a Huey that uses that."""
    job = sqlite_shop.tasks.job
    durations = Durations(4, 4 * 7500.0)
    counters = {("huey_task_duration_seconds", sqlite_shop.huey.name, "shop.job"): durations}
    counters["huey_signals_total", sqlite_shop.huey.name, "shop.job", "complete"] = 4
    beat = Heartbeat("one", this_process(), "thread", 5.0, 1, counters=counters)
    open_ledger(sqlite_shop.huey).write(beat)
    job.schedule(eta=datetime(2099, 1, 1))
    run_all(sqlite_shop.huey)
    words = sqlite_shop.run("report", sqlite_shop.name).words
    assert "1 in the schedule, first at 2099-01-01 00:00:00 UTC" in words
    assert "4 done, 0 errors, 0 skipped by locks; mean duration 2 h 5 min" in words
    assert re.search(r"read at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC in \d+ ms", words)
    sqlite_shop.huey.utc = False
    words = sqlite_shop.run("report", sqlite_shop.name).words
    assert "first at 2099-01-01 00:00:00 local" in words
    details = sqlite_shop.run("report", sqlite_shop.name, "--details").words
    assert "shop.job 4 2 h 5 min" in details


@pytest.mark.parametrize("columns", [50, 80, 160])
@pytest.mark.parametrize("words", [["health", "{name}"], ["report", "no_such_package.module.huey"]])
def test_a_message_is_folded_at_words_on_a_terminal(sqlite_shop, on_terminal, words, columns):
    """Elsewhere it is one line, for programs that read it."""
    words = [word.format(name=sqlite_shop.name) for word in words]
    ran = sqlite_shop.run(*words)
    message = (ran.out + ran.err).rstrip("\n")
    assert "\n" not in message
    on_terminal(columns, 24)
    ran = sqlite_shop.run(*words)
    lines = (ran.out + ran.err).splitlines()
    assert max(map(len, lines)) <= min(columns, 100)
    assert len(lines) > 1
    assert "".join(lines).replace(" ", "") == message.replace(" ", "")


def test_an_encoding_without_lines_gets_others(sqlite_shop, monkeypatch):
    """Tables and the history are drawn with letters of ASCII there."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    hold(sqlite_shop.huey, "bare")
    store = open_kit_store(sqlite_shop.huey, UPKEEP)
    assert HistoryWriter(lambda: store).add({("huey_signals_total", "q", "t", "complete"): 5})
    ran = sqlite_shop.command("locks", sqlite_shop.name)
    assert ran.out.splitlines()[1].strip("-") == ""
    ran = sqlite_shop.command("top", sqlite_shop.name, "--once")
    assert re.search(r"^done 1h +# +5/min$", ran.out, re.MULTILINE)
    assert "\\u" not in ran.out.partition("done 1h")[2]
