"""The keys of many tokens become packed ids, and these the same keys again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huey_signals_kit.store.tokens import pack, unpack

MADE = "r:0b6a1f6e-2f7c-4d3b-9a58-0123456789ab"


@given(st.lists(st.uuids(version=4)))
def test_there_and_back(ids):
    """Any number of them, in their order."""
    keys = "".join(f"r:{each}" for each in ids).encode()
    assert pack(keys) == b"".join(each.bytes for each in ids)
    assert unpack(pack(keys)) == keys


@pytest.mark.parametrize(
    "key",
    [
        MADE.upper(),
        MADE.replace("r:", "rt"),
        MADE.replace("a", "A"),
        MADE.replace("-4", "-1"),
        MADE.replace("-9", "-7"),
        MADE.replace("-9", "--"),
        MADE.replace("b6", "-6"),
        MADE.replace("b6", " 6"),
        MADE.replace("b6", "g6"),
        MADE.replace("b6", "r:"),
        MADE[:-1],
        MADE + "0",
        MADE.replace("-", "_"),
        "r:9ea5a1dc-e672-11f1-9b29-02fc00000001",
    ],
)
@pytest.mark.parametrize("others", [b"", MADE.encode() * 3])
def test_one_that_huey_has_not_made_is_no_packed_id(key, others):
    """However close it comes, alone or among others."""
    assert pack(others + key.encode()) is None
    assert pack(key.encode() + others) is None


@given(st.binary(min_size=38, max_size=38))
def test_whatever_is_packed_was_a_key(key):
    """Nothing else comes back changed."""
    ids = pack(key)
    assert ids is None or unpack(ids) == key
