"""A sweep and a purge hold ids and results packed, and sort them in parts."""

from __future__ import annotations

from huey_signals_kit.upkeep.results import rows as rows_module
from huey_signals_kit.upkeep.results.rows import ResultSlice
from huey_signals_kit.upkeep.tokens import slices as slices_module
from huey_signals_kit.upkeep.tokens.slices import Slice


def test_rows_of_results_and_tokens_are_sorted_in_parts(monkeypatch):
    """So a million of them are never in memory unsorted."""
    monkeypatch.setattr(rows_module, "_SORT_BATCH", 2)
    monkeypatch.setattr(slices_module, "_SORT_BATCH", 2)
    results, tokens = ResultSlice(0.0), Slice(0.0)
    packed = [bytes([number]) * slices_module.SIZE for number in (3, 1, 2)]
    for number, packed_id in enumerate(packed):
        results.add(bytes([number]) * 8, packed_id, 10)
        tokens.add(b"value", packed_id)
    assert len(results._unsorted) == 1
    assert len(tokens._unsorted[0]) == slices_module.SIZE
    results.sort()
    tokens.sort()
    assert (results.size, tokens.size) == (3, 3)
    assert not results._unsorted
    assert not tokens._unsorted[0]
