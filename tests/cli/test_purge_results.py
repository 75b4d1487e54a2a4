"""`huey-signals purge --results`: results that no caller fetches go, in two purges."""

from __future__ import annotations

import json
import signal

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.upkeep.results.purge import PREFIX, ResultPurge
from huey_signals_kit.upkeep.tokens import marks
from tests.support import kit_data, results, store

DAY = 86_400.0


def age(huey, seconds):
    """Make all marks of results older."""
    opened = open_kit_store(huey, UPKEEP)
    for _, bucket in marks.buckets(opened, range(256), PREFIX):
        bucket.groups = {
            (first - seconds, seen): ids for (first, seen), ids in bucket.groups.items()
        }
        bucket.save(opened)


def test_a_dry_run_says_what_the_next_purges_will_do(shop):
    """It marks nothing, and has the command that does, also after the time is over."""
    shop.fill()
    before = store(shop.huey)
    ran = shop.run("purge", shop.name, "--results")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Dry run: nothing is changed.")
    assert ran.row("would be marked")[0] == "3"
    assert ran.row("would be deleted")[0] == "0"
    assert (
        "3 results seen for the first time. With --apply, this purge marks them. Results that "
        "are still unchanged after 7 days are deleted by the next purge --results --apply."
    ) in ran.words
    assert ran.out.endswith(f"  huey-signals purge {shop.name} --results --apply\n")
    assert ran.fits()
    assert store(shop.huey) == before
    assert kit_data(shop.huey) == {}


def test_two_purges_delete_the_results(shop):
    """Errors, tokens and locks stay; between the two the command says what it waits for."""
    shop.fill()
    command = ("purge", shop.name, "--results", "--min-age", "12h", "--apply")
    first = shop.run(*command)
    assert (first.code, first.err, first.row("marked")[0]) == (0, "", "3")
    assert "unchanged after 12 hours are deleted by the next" in first.words
    assert "The next results can be deleted from" in first.words
    waiting = shop.run("purge", shop.name, "--results", "--min-age", "12h")
    assert waiting.row("waiting")[0] == "3"
    assert "To make these changes" not in waiting.out
    age(shop.huey, DAY)
    due = shop.run("purge", shop.name, "--results", "--min-age", "12h")
    assert due.row("would be deleted")[0] == "3"
    assert due.out.endswith(f"  huey-signals purge {shop.name} --results --min-age 12h --apply\n")
    before = store(shop.huey)
    second = shop.run(*command)
    assert (second.code, second.row("deleted")[0], second.row("errors")[0]) == (0, "3", "2")
    assert "The next results can be deleted" not in second.words
    assert results(shop.huey) == {}
    assert len(store(shop.huey)) == len(before) - 3


def test_json_of_a_purge_of_results(shop):
    """The report, and when the next purge deletes something."""
    shop.fill()
    ran = shop.run("purge", shop.name, "--results", "--apply", "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["results"], found["new"], found["dry_run"]) == (0, 3, 3, False)
    assert found["next_due"] is not None
    assert json.loads(shop.run("purge", shop.name, "--results", "--json").out)["waiting"] == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--min-age", "7d"], "--min-age needs --results: stored errors are deleted at any age"),
        (["--results", "--kept"], "--results deletes no errors, so it takes no --kept"),
        (["--results", "--exception", "X"], "so it takes no --exception; use one of them"),
        (["--results", "--min-age", "soon"], "--min-age takes a number with s, m, h"),
        (["--results", "--min-age", "5s"], "--min-age takes at least 15 seconds, got 5.0"),
        (["--results", "--min-age", "11000d"], "nothing would be deleted before that"),
    ],
)
def test_options_that_do_not_go_together(sqlite_shop, options, said):
    """Refused with the exit code of wrong use, and nothing is changed."""
    ran = sqlite_shop.run("purge", sqlite_shop.name, *options, "--apply")
    assert (ran.code, ran.out) == (2, "")
    assert said in " ".join(ran.err.split())
    assert kit_data(sqlite_shop.huey) == {}


def test_a_message_that_cannot_be_read_stops_it(sqlite_shop):
    """Nothing is marked, which is said with exit code 1."""
    sqlite_shop.fill()
    sqlite_shop.huey.storage.enqueue(b"junk")
    ran = sqlite_shop.run("purge", sqlite_shop.name, "--results", "--apply")
    assert (ran.code, ran.row("undecided")[0]) == (1, "3")
    assert ran.err == (
        "huey-signals purge: nothing more was deleted: a message cannot be read: its task may "
        "still run; see huey-signals report\n"
    )


def test_ctrl_c_keeps_the_marks(sqlite_shop, monkeypatch):
    """It says how far it came; the next purge finds what this one has marked."""
    sqlite_shop.fill()
    sqlite_shop.run("purge", sqlite_shop.name, "--results", "--apply")
    age(sqlite_shop.huey, 8 * DAY)
    with monkeypatch.context() as patched:
        patched.setattr(ResultPurge, "_delete_batch", lambda *_: signal.raise_signal(signal.SIGINT))
        ran = sqlite_shop.run("purge", sqlite_shop.name, "--results", "--apply")
    assert (ran.code, ran.out) == (130, "")
    assert "keys were read and 0 deleted; up to one more batch may have been deleted" in ran.err
    ran = sqlite_shop.run("purge", sqlite_shop.name, "--results", "--apply", "--json")
    found = json.loads(ran.out)
    assert (found["deleted"], found["new"]) == (2, 1)  # the mark of one went before its deletion


def test_a_purge_of_results_as_a_command(sqlite_shop):
    """A process of its own does the same."""
    sqlite_shop.fill()
    ran = sqlite_shop.command("purge", sqlite_shop.name, "--results", "--apply")
    assert (ran.code, ran.err, ran.row("marked")[0]) == (0, "", "3")
