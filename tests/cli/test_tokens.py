"""`huey-signals tokens`: listed, shown and deleted by id or glob."""

from __future__ import annotations

import json
import uuid

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.cli._tokens import view
from huey_signals_kit.upkeep import TokenInfo, TokenList
from huey_signals_kit.upkeep.tokens import listing
from tests.support import run_all, tokens

LONG = "x" * 200


def listed(ran):
    """{name: (kind, state, revoked)} of the lines of a list."""
    head, *lines = ran.out.splitlines()
    assert head == "KIND  STATE      REVOKED UNTIL          ID, OR NAME OF THE TASK"
    cells = [(line[40:], (line[:5], line[6:16], line[17:39])) for line in lines]
    return {name: tuple(each.strip() for each in rest) for name, rest in cells if rest[0].islower()}


def test_the_list(shop):
    """Every token with its state and how long it holds, ids whole."""
    waiting = shop.fill()
    ran = shop.run("tokens", "list", shop.name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.fits()
    found = listed(ran)
    assert found[f"{shop.module}.job"] == ("pause", "active", "2099-01-01 00:00 UTC")
    assert found[waiting.id] == ("token", "live", "forever")
    assert found["nightly"] == ("token", "custom", "the next run")
    assert found["x" * 40] == ("token", "custom", "forever")
    assert LONG in ran.out.replace("\n", "").replace(" ", "")
    orphans = [name for name, each in found.items() if each == ("token", "orphaned", "forever")]
    assert {f"r:{name}" for name in orphans} < tokens(shop.huey)
    assert len(orphans) == 3
    assert shop.run("tokens", shop.name).out == ran.out  # `list` need not be said


def test_json(shop):
    """The same, with names as they are."""
    shop.fill()
    ran = shop.run("tokens", "list", shop.name, "--json")
    found = json.loads(ran.out)
    assert (ran.code, ran.err, found["matched"], found["shown"]) == (0, "", 7, 7)
    by_name = {each["name"]: each for each in found["tokens"]}
    assert by_name[LONG]["state"] == "custom"
    assert by_name[f"{shop.module}.job"]["until"] == "2099-01-01T00:00:00"
    assert (by_name["nightly"]["once"], by_name["nightly"]["kind"]) == (True, "token")


def test_a_limit(shop):
    """How many are not shown is said; 0 shows all."""
    shop.fill()
    assert (
        "and 5 more; --limit 0 shows all\n"
        in shop.run("tokens", "list", shop.name, "--limit", "2").out
    )
    assert " more" not in shop.run("tokens", "list", shop.name, "--limit", "0").out
    found = json.loads(shop.run("tokens", "list", shop.name, "--limit", "2", "--json").out)
    assert (len(found["tokens"]), found["shown"], found["matched"]) == (2, 2, 7)


def test_an_empty_list(sqlite_shop):
    """Is no error; as JSON it is empty."""
    ran = sqlite_shop.run("tokens", "list", sqlite_shop.name)
    assert (ran.code, ran.out) == (0, "No revoke tokens and no pause switches.\n")
    ran = sqlite_shop.run("tokens", "list", sqlite_shop.name, "--json")
    assert json.loads(ran.out) == {"tokens": [], "shown": 0, "matched": 0}


def test_a_glob(shop):
    """Over ids and names, or keys of one sort."""
    shop.fill()
    assert set(listed(shop.run("tokens", "list", shop.name, "night*"))) == {"nightly"}
    assert set(listed(shop.run("tokens", "list", shop.name, "rt:*"))) == {f"{shop.module}.job"}


def test_as_a_command(sqlite_shop):
    """In a process of its own."""
    sqlite_shop.fill()
    ran = sqlite_shop.command("tokens", "delete", sqlite_shop.name, "nightly", "--apply")
    assert (ran.code, ran.err, ran.row("deleted")) == (0, "", ["1"])
    assert "r:nightly" not in tokens(sqlite_shop.huey)


def test_show(shop):
    """What it says, and where its task stands."""
    waiting = shop.fill()
    ran = shop.run("tokens", "show", shop.name, waiting.id)
    assert (ran.code, ran.err) == (0, "")
    assert ran.row("state") == ["live"]
    assert ran.row("revoked until") == ["forever"]
    assert ran.row("in the store")[0] == f"r:{waiting.id},"
    assert ran.row("its task") == ["in", "the", "schedule,", f"{shop.module}.job"]
    assert ran.fits()
    (found,) = json.loads(shop.run("tokens", "show", shop.name, waiting.id, "--json").out)
    assert found["standings"] == [
        {"place": "schedule", "task_name": f"{shop.module}.job", "nested": False}
    ]


def test_show_a_nested_one(shop):
    """A later stage of a pipeline stands in its first."""
    job = shop.tasks.job
    pipeline = job.s().then(job)
    shop.huey.enqueue(pipeline)
    shop.huey.revoke_by_id(pipeline.on_complete.id)
    ran = shop.run("tokens", "show", shop.name, pipeline.on_complete.id)
    assert ran.row("its task") == ["in", "the", "queue,", "nested", "in", f"{shop.module}.job"]


def test_show_what_cannot_be_read(sqlite_shop):
    """Says so, and a name of 200 characters fits."""
    sqlite_shop.huey.storage.put_data(f"r:{LONG}", b"junk")
    ran = sqlite_shop.run("tokens", "show", sqlite_shop.name, LONG)
    assert (ran.code, ran.row("state"), ran.row("revoked until")) == (0, ["unreadable"], ["?"])
    assert ran.fits()


def test_delete_says_first_what_it_does(shop):
    """How many of which state, and what comes to run then; nothing is changed."""
    shop.fill()
    before = tokens(shop.huey)
    ran = shop.run("tokens", "delete", shop.name, "*")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Dry run: nothing is changed.")
    states = {state: ran.row(state)[0] for state in ("active", "custom", "live", "orphaned")}
    assert states == {"active": "1", "custom": "2", "live": "1", "orphaned": "3"}
    assert ran.row("would be deleted") == ["7"]
    assert (
        "This would let 1 revoked task and every run of 1 paused task start. "
        f"To make these changes: huey-signals tokens delete {shop.name} '*' --apply"
    ) in ran.words
    assert ran.fits()
    assert tokens(shop.huey) == before


def test_delete_exactly_what_is_named(shop):
    """Live ones as well, whose tasks run then; all else stays."""
    waiting = shop.fill()
    before = tokens(shop.huey)
    ran = shop.run("tokens", "delete", shop.name, waiting.id, "night*", "--apply")
    assert (ran.code, ran.err, ran.row("deleted")) == (0, "", ["2"])
    assert "This lets 1 revoked task start." in ran.words
    assert before - tokens(shop.huey) == {f"r:{waiting.id}", "r:nightly"}
    assert tokens(shop.huey) < before


def test_delete_as_json(shop):
    """What was done and nothing else."""
    shop.fill()
    ran = shop.run("tokens", "delete", shop.name, "r:*", "--apply", "--json")
    found = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (found["matched"], found["deleted"], found["stopping"]) == (6, 6, 1)
    assert tokens(shop.huey) == {f"rt:{shop.module}.job"}


@pytest.mark.parametrize("command", [["list"], ["show"], ["delete"], ["delete", "--apply"]])
@pytest.mark.parametrize("name", ["nothing", "no\x1bsuch*"])
def test_what_nothing_has(shop, command, name):
    """Is told, with exit code 1."""
    verb, *options = command
    ran = shop.run("tokens", verb, shop.name, name, *options)
    shown = name.replace("\x1b", "\\\\x1b")
    assert (ran.code, ran.err) == (
        1,
        f"huey-signals tokens {verb}: no revoke token and no pause switch is named '{shown}'; "
        "huey-signals tokens list shows all\n",
    )
    assert "\x1b" not in ran.out


def test_one_name_that_nothing_has(shop):
    """The others are deleted, as rm does it."""
    shop.fill()
    ran = shop.run("tokens", "delete", shop.name, "nothing", "nightly", "--apply")
    assert (ran.code, ran.row("deleted")) == (1, ["1"])
    assert "is named 'nothing'; " in ran.err
    assert "r:nightly" not in tokens(shop.huey)


def test_one_that_is_written_anew_meanwhile(shop, monkeypatch):
    """It stays, which is said with exit code 1."""
    shop.fill()
    read = TokenList.batches

    def batches(self):
        for batch in read(self):
            shop.huey.revoke_by_id("nightly")
            yield batch

    monkeypatch.setattr(TokenList, "batches", batches)
    ran = shop.run("tokens", "delete", shop.name, "nightly", "--apply")
    assert (ran.code, ran.row("deleted")) == (1, ["0"])
    assert ran.row("changed meanwhile, left alone") == ["1"]
    assert "r:nightly" in tokens(shop.huey)


def test_a_storage_that_goes_away_half_way(sqlite_shop, monkeypatch):
    """The error has what was done until then."""

    def gone(*_):
        raise OSError("the disk has gone away")

    monkeypatch.setattr(listing.LiveTaskIds, "refresh", gone)
    ran = sqlite_shop.run("tokens", "delete", sqlite_shop.name, "*", "--apply")
    assert (ran.code, ran.out) == (1, "")
    assert "the disk has gone away; before that, 0 keys were read and 0 deleted" in ran.err


def test_many_are_listed_as_they_come(sqlite_shop, monkeypatch):
    """The first line is written before all are read."""
    for _ in range(2500):
        sqlite_shop.huey.revoke_by_id(str(uuid.uuid4()))
    events = []
    info = TokenList._info
    monkeypatch.setattr(TokenList, "_info", lambda *args: events.append("read") or info(*args))
    add = view.TextList.add

    def adding(self: view.TextList, token: TokenInfo) -> None:
        events.append("shown")
        add(self, token)

    monkeypatch.setattr(view.TextList, "add", adding)
    ran = sqlite_shop.run("tokens", "list", sqlite_shop.name, "--limit", "0")
    assert len(listed(ran)) == events.count("read") == 2500
    assert events.index("shown") <= 1000


def test_a_task_runs_again_after_its_token_is_deleted(shop):
    """With Huey's own eyes."""
    result = shop.tasks.job(5)
    shop.huey.revoke_by_id(result.id)
    assert shop.run("tokens", "delete", shop.name, result.id, "--apply").code == 0
    run_all(shop.huey)
    assert result.get() == 5
