"""Choose the tests to run by their storage, and leave out the slow ones.

A storage test is quick, but there are thousands, each on ten storages. So a plain run takes
the three usual storages, and ``--all-storages`` takes everything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

import pytest

from tests.support import KINDS

USUAL = ("memory", "sqlite", "redis")


class Selection:
    """The storages that the options name, and the tests that belong to them."""

    def __init__(self, config: pytest.Config) -> None:
        self._all: bool = config.getoption("--all-storages")
        self._chosen = KINDS if self._all else _known(config.getoption("--storages"))
        self._allowed = {*USUAL, *self._chosen}

    @staticmethod
    def add_options(parser: pytest.Parser) -> None:
        """Add ``--storages`` and ``--all-storages``."""
        group = parser.getgroup("storages")
        group.addoption(
            "--storages",
            metavar="LIST",
            default=",".join(USUAL),
            help=f"run the tests of any storage on these (default: %(default)s; of {KINDS})",
        )
        group.addoption(
            "--all-storages",
            action="store_true",
            help="run them on every storage, and the tests marked slow as well",
        )

    @property
    def header(self) -> str:
        """A line for the head of the report."""
        rest = "slow tests too" if self._all else "--all-storages runs the rest"
        return f"storages: {', '.join(self._chosen)} ({rest})"

    def apply(self, items: list[pytest.Item]) -> None:
        """Remove the tests that are not selected from `items`."""
        removed = [item for item in items if not self._selects(item)]
        if removed:
            removed[0].config.hook.pytest_deselected(items=removed)
            items[:] = [item for item in items if self._selects(item)]
        items[:] = _spread(items)

    def require(self, kind: str) -> None:
        """Fail a test that opens a storage which this run leaves out."""
        if kind not in self._allowed:
            pytest.fail(f"mark this test: @pytest.mark.storage({kind!r})", pytrace=False)

    def _selects(self, item: pytest.Item) -> bool:
        if self._all:
            return True
        params = _params(item)
        return (
            item.get_closest_marker("slow") is None
            and params.get("any_kind", self._chosen[0]) in self._chosen
            and _storages(item, params) <= self._allowed
        )


def _spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests with those that wait long, such as for consumers, spread over the run.

    Otherwise one process of xdist would be left with many of them at the end.
    """
    waiting = [item for item in items if _waits_long(item)]
    others = [item for item in items if not _waits_long(item)]
    places = {item: 0.9 * number / len(waiting) for number, item in enumerate(waiting)}
    places |= {item: number / len(others) for number, item in enumerate(others)}
    return sorted(items, key=places.__getitem__)


def _waits_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None or item.path.parent.name == "consumer"


def _known(names: str) -> tuple[str, ...]:
    chosen = tuple(names.split(","))
    if unknown := set(chosen) - set(KINDS):
        raise pytest.UsageError(f"--storages: {sorted(unknown)} not among {KINDS}")
    return chosen


def _params(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}


def _storages(item: pytest.Item, params: dict[str, Any]) -> set[str]:
    """Return the storages that a test names, in its marks or as a parameter."""
    marked = {kind for mark in item.iter_markers("storage") for kind in mark.args}
    return marked | {value for value in params.values() if isinstance(value, str)} & set(KINDS)


def combinations(*axes: Sequence[Any]) -> list[Any]:
    """Return every combination of the values, for `pytest.mark.parametrize`.

    All are slow but for a few in which each value occurs at least once.
    """
    rows = range(max(map(len, axes)))
    quick = [tuple(axis[row % len(axis)] for axis in axes) for row in rows]
    return slow_except(quick, [*product(*axes)])


def slow_except(quick: Collection[Any], values: Sequence[Any]) -> list[Any]:
    """Return the values for `pytest.mark.parametrize`; those that are not in `quick` are slow.

    A tuple has the values of several parameters.
    """
    return [value if value in quick else _slow(value) for value in values]


def _slow(value: Any) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.slow)
