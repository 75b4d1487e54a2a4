"""Values that another version, another program or an attacker has stored are read as nothing."""

from __future__ import annotations

import json

import pytest

from huey_signals_kit.ledger._record import Heartbeat, try_load
from huey_signals_kit.ledger._totals import Folded, try_load_totals
from huey_signals_kit.runtime.process_id import parse_process, this_process
from huey_signals_kit.upkeep.explanation.nested import _chord_of
from huey_signals_kit.upkeep.tokens.marks import _VERSION, _decode


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("version", 99),
        ("worker", 1),
        ("started", True),
        ("started", "soon"),
        ("started", float("inf")),
        ("sequence", -1),
        ("sequence", 1.5),
        ("sequence", 10**30),
        ("locks", [1]),
        ("place", ["host", "namespace", "1", 2]),
    ],
)
def test_a_record_of_a_process_with_a_wrong_value_is_no_record(field, value):
    """Whatever the field; the record is not changed, because a newer version may read it."""
    raw = Heartbeat("id", this_process(), worker="thread").dump()
    assert try_load(raw) is not None
    assert try_load(json.dumps({**json.loads(raw), field: value}).encode()) is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"[" * 2_000_000, b"\xff"])
def test_what_is_no_json_of_the_kit_is_no_record(raw):
    """Also what would take gigabytes to parse."""
    assert try_load(raw) is None
    assert try_load_totals(raw) is None


def test_totals_of_another_version_are_no_totals():
    """They are left to the version that has written them."""
    raw = Folded("epoch", 0, (), 0, {}).dump()
    assert try_load_totals(raw) is not None
    assert try_load_totals(json.dumps({**json.loads(raw), "version": 99}).encode()) is None
    assert try_load_totals(None) is None


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ((1, "namespace", 1, 1), TypeError),
        (("host", None, 1, 1), TypeError),
        (("host", "namespace", "1", 1), TypeError),
        (("host", "namespace", 1, True), TypeError),
        (("host", "namespace", 0, 1), ValueError),
        (("host", "namespace", 2**40, 1), ValueError),
        (("host", "namespace", 1, -1), ValueError),
    ],
)
def test_a_process_is_named_by_two_texts_and_two_possible_numbers(place, error):
    """Its pid becomes part of a path, and is passed to the operating system."""
    with pytest.raises(error):
        parse_process(*place)


def test_marks_that_are_cut_off_are_no_marks():
    """A sweep then begins again; nothing is deleted by half of a mark."""
    assert _decode(None) == {}
    assert _decode(b"something else") == {}
    assert _decode(_VERSION) == {}
    assert _decode(_VERSION + b"\0") == {}
    assert _decode(_VERSION + b"\0" * 200) == {}


def test_a_chord_without_numbers_still_has_its_callback():
    """The part is then shown without its chord."""
    message = ("id", "name", *[None] * 11, ("chord", "3", None, "callback"))
    assert _chord_of(message) == (None, "callback")
    assert _chord_of(message[:5]) == (None, None)
