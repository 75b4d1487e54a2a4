"""Every screen on a terminal of 80x24 and of 160x50: ids whole, lines as wide as the terminal."""

from __future__ import annotations

import re
import uuid

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from rich.cells import cell_len

from huey_signals_kit.cli._shared.folding import fold
from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import this_process
from tests.locks import ELSEWHERE, GONE, key, taken_by
from tests.support import hold

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
    is_left_out = "Without " in ran.out
    assert is_left_out == (width < 160)


def test_an_unclaimed_lock_comes_with_what_to_do(sqlite_shop):
    """What it means that no process claims it, and the command that releases it."""
    hold(sqlite_shop.huey, "bare")
    ran = sqlite_shop.run("locks", sqlite_shop.name)
    assert ran.code == 0
    assert "Unclaimed: no known process says that it holds the lock." in ran.words
    assert f"\n  huey-signals locks release {sqlite_shop.name} bare --apply\n" in ran.out


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
