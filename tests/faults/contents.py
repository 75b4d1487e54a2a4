"""What a storage of a fault run holds at one moment, read without the kit and without Huey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Contents:
    """What is stored."""

    values: dict[str, bytes]
    """Results, tokens and locks, under Huey's keys."""
    messages: list[bytes]
    """What is in the queue and in the schedule, read after the values."""
    ledger: dict[str, bytes]
    """The kit's own ledger: records under ``process:<id>``, signs of life under ``alive:<id>``."""


class Server(Protocol):
    """The storage of a run."""

    kind: str

    def location(self, address: str) -> str:
        """Return where a process finds it that reaches this machine by *address*."""

    def read(self) -> Contents | None:
        """Return what is stored, or None if it does not answer."""

    def remove(self, keys: list[str]) -> None:
        """Delete keys of Huey's, as a caller does that has read its results."""

    def close(self) -> None:
        """End it, whatever was done to it."""


OWN = "huey-signals:"
TABLES = ("task", "schedule")


def of_tables(execute: Callable[..., Any], name: str, prefix: str, mark: str) -> Contents:
    """Read the contents of a SQL storage.

    Args:
        execute: Runs a query.
        name: The name of the queue.
        prefix: What the names of Huey's tables begin with.
        mark: The placeholder of a parameter.
    """
    kv = f"select key, value from {prefix}kv where queue = {mark}"
    values = {key: bytes(value) for key, value in execute(kv, (name,)).fetchall()}
    own = execute(kv, (f"{name}.huey-signals",)).fetchall()
    tables = (f"select data from {prefix}{table} where queue = {mark}" for table in TABLES)
    messages = [bytes(row[0]) for query in tables for row in execute(query, (name,)).fetchall()]
    return Contents(values, messages, {key.removeprefix(OWN): bytes(value) for key, value in own})
