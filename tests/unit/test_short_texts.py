"""The small texts of tables and pages: counts, times, kinds of objects, evidence about locks."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)
pytest.importorskip("jinja2", exc_type=ImportError)

from huey import MemoryHuey

from huey_signals_kit.cli._export.state import overdue_seconds
from huey_signals_kit.cli._forget import _describe_deleted
from huey_signals_kit.cli._report.summary import format_stored_time
from huey_signals_kit.cli._shared.find_huey import _describe_type
from huey_signals_kit.cli._tokens.view import _validity
from huey_signals_kit.cli._top.figures import _format_short
from huey_signals_kit.cli._top.view import _describe_end
from huey_signals_kit.integrations.sentry_breadcrumbs import _seconds
from huey_signals_kit.store.failures import describe_storage
from huey_signals_kit.upkeep.locks.info import LockInfo
from huey_signals_kit.upkeep.wording import pluralize
from huey_signals_kit.web._content import _evidence, _held_seconds

MOMENT = datetime(2026, 1, 2, 11, 0)
ZONED = MOMENT.replace(tzinfo=timezone(timedelta(hours=2)))
HERE = {"host": LockInfo.__name__, "pid": 17}


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "token", "1 token"),
        (2000, "token", "2,000 tokens"),
        (3, "key", "3 keys"),
        (4, "entry", "4 entries"),
        (5, "process", "5 processes"),
    ],
)
def test_a_noun_agrees_with_its_number(count, noun, text):
    """Also one that ends with y or s."""
    assert pluralize(count, noun) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (99_999, "99,999"), (12_345_678, "12.3M"), (-12_345_678, "-12.3M")],
)
def test_a_number_in_a_table_is_short(value, text):
    """It has at most eight characters."""
    assert _format_short(value) == text


def test_a_stored_time_that_is_no_time_is_shown_as_it_is():
    """And a missing one as a question mark."""
    assert format_stored_time(None) == "?"
    assert format_stored_time("yesterday") == "yesterday"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"state": "unreadable"}, "?"),
        ({"once": True}, "the next run"),
        ({"until": None}, "forever"),
        ({"until": MOMENT}, "2026-01-02 11:00 local"),
        ({"until": ZONED}, "2026-01-02 09:00 UTC"),
    ],
)
def test_a_token_is_valid_until_a_time_with_its_zone(state, text):
    """A time that was stored with a zone is shown in UTC."""
    token = SimpleNamespace(**{"state": "live", "once": False, "until": None, **state})
    assert _validity(token, "local") == text


@pytest.mark.parametrize(
    ("pause", "text"),
    [
        ({"once": True}, "for the next run"),
        ({"until": None}, "forever"),
        ({"until": MOMENT}, "until 11:00 local"),
        ({"until": ZONED}, "until 09:00 UTC"),
        ({"until": ZONED + timedelta(days=1)}, "until 2026-01-03 09:00 UTC"),
    ],
)
def test_a_pause_ends_at_a_time_with_its_zone(pause, text):
    """Without the date if that is today."""
    pause = SimpleNamespace(**{"once": False, "until": None, **pause})
    assert _describe_end(pause, MOMENT, "local") == text


@pytest.mark.parametrize(
    ("value", "text"), [(math, "a module"), (int, "a class"), ([], "a list"), (1, "an int")]
)
def test_what_is_no_huey_is_named_by_its_kind(value, text):
    """In the refusal of a command."""
    assert _describe_type(value) == text


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        (datetime(1970, 1, 1, 0, 1), 60.0),
        (datetime(1970, 1, 1, 2, 1, tzinfo=timezone(timedelta(hours=2))), 60.0),
        (60, 60.0),
        ("soon", None),
        (None, None),
    ],
)
def test_a_breadcrumb_has_its_time_in_any_form(timestamp, seconds):
    """Sentry's own are datetimes without a zone; other code writes texts and numbers."""
    assert _seconds(timestamp) == seconds


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kind": "semaphore", "slots": (1.0, 5.0)}, "a semaphore does not name its holders"),
        ({"doubt": "no process has observed it"}, "no process has observed it"),
        (
            {},
            "unclaimed: a process without the kit acquired it, so its value names no holder",
        ),
        (
            {"alive": False, "silent": 130.0, **HERE},
            "no heartbeat for 130 seconds, as seen by a process that could use the storage all "
            "that time",
        ),
        (
            {"alive": False, **HERE},
            "the process has ended, says the operating system of its host",
        ),
        (
            {"is_unclaimed": True, **HERE},
            "its process is on another host, and has never written a heartbeat",
        ),
        ({"silent": 30.0, **HERE}, "its last heartbeat was 30 seconds ago"),
        ({"alive": True, **HERE}, "its last heartbeat is recent"),
    ],
)
def test_the_page_says_how_it_knows_whether_a_holder_is_alive(fields, text):
    """Every kind of evidence is one text."""
    assert _evidence(LockInfo("nightly", **fields), None) == text


def test_a_semaphore_is_held_for_as_long_as_its_oldest_slot():
    """A lock without a known time is held for an unknown time."""
    assert _held_seconds(LockInfo("media", "semaphore", slots=(1.0, 5.0))) == 5.0
    assert _held_seconds(LockInfo("nightly")) is None


@pytest.mark.parametrize(
    ("deleted", "apply", "text"),
    [
        ({"records": 3}, False, "nothing was changed"),
        ({"records": 0}, True, "it is unknown whether anything was deleted"),
        ({"records": 1234, "marks": 0}, True, "these were deleted: 1,234 records"),
    ],
)
def test_a_command_that_was_interrupted_says_what_it_has_deleted(deleted, apply, text):
    """Or that it is unknown."""
    assert _describe_deleted(deleted, apply).partition(";")[0] == text


def test_a_message_without_a_time_is_due_since_an_unknown_time():
    """And one that cannot be read, too; an empty schedule is not late."""
    huey = MemoryHuey("schedule")
    message = huey.serialize_task(huey.task()(lambda: None).s())
    assert overdue_seconds(huey, message) is None
    assert overdue_seconds(huey, b"no message") is None
    assert overdue_seconds(huey, None) == 0.0


def test_a_storage_is_described_without_its_password():
    """A database of peewee can be given as a URL."""
    database = SimpleNamespace(database="postgresql://user:secret@host/shop")
    text = describe_storage(SimpleNamespace(database=database))
    assert text.startswith("the database postgresql://")
    assert "secret" not in text
