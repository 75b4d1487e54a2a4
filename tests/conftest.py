"""Fixtures: the servers, and Hueys on every storage that clean up after themselves."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from huey.api import Huey
from hypothesis import settings

from huey_signals_kit.upkeep.monitor import background_read
from tests.selection import Selection
from tests.servers import postgres_server, redis_server, served
from tests.support import (
    KINDS,
    REDIS_KINDS,
    Place,
    Unavailable,
    end_kits,
    give_children_default_signals,
    huey_class,
    let_children_fork,
)

give_children_default_signals()
let_children_fork()
# The tests start hundreds of Pythons, each of which would compile the package again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose storages."""
    Selection.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis try more examples with ``--all-storages``, the same ones in every run.

    ``--hypothesis-profile=quick`` tries few, and ``--hypothesis-profile=fuzz`` many others.
    """
    settings.register_profile("quick", max_examples=50, derandomize=True, deadline=None)
    settings.register_profile("thorough", max_examples=300, derandomize=True, deadline=None)
    settings.register_profile("fuzz", max_examples=20_000, deadline=None)
    background_read.IDLE_SECONDS = 1.0  # else their connections add up over the tests
    settings.load_profile(_profile(config))


def _profile(config: pytest.Config) -> str:
    default = "thorough" if config.getoption("--all-storages") else "quick"
    return config.getoption("--hypothesis-profile") or default


def pytest_report_header(config: pytest.Config) -> str:
    """Name the chosen storages above the results."""
    return Selection(config).header


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of other storages, and the slow ones."""
    Selection(config).apply(items)


@pytest.fixture(autouse=True)
def huey_log_level():
    """Restore the level of Huey's logger, which all tests of a process share."""
    logger = logging.getLogger("huey")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis that lives as long as the test session."""
    yield from served(redis_server)


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """The DSN of a Postgres that lives as long as the test session."""
    pytest.importorskip("psycopg", exc_type=ImportError)
    yield from served(postgres_server)


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether tests of many values or repetitions do all of them: unless the profile is quick."""
    return _profile(pytestconfig) != "quick"


@pytest.fixture
def make_place(_yard: _Yard) -> Callable[..., Place]:
    """`make_place(kind, name=None)`: a place for a queue, to be opened here and by consumers."""
    return _yard.place


@pytest.fixture
def make_huey(_yard: _Yard) -> Callable[..., Huey]:
    """`make_huey(kind="memory", name=None, **options)`: a Huey with a queue of its own.

    The options are Huey's. The same kind and name again: another Huey on the same queue
    (but for memory, which two Hueys never share).
    """
    return _yard.huey


@pytest.fixture(params=KINDS)
def any_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of storage in turn, for `make_huey(any_kind, ...)` with options."""
    return request.param


@pytest.fixture
def any_huey(any_kind: str, make_huey: Callable[..., Huey]) -> Huey:
    """A Huey on each kind of storage in turn."""
    return make_huey(any_kind)


@pytest.fixture
def _yard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[_Yard]:
    yard = _Yard(request, tmp_path)
    yield yard
    yard.clear()


class _Yard:
    """Finds places for one test's queues, and afterwards closes and removes them."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request = request
        self._folder = folder
        self._opened: list[tuple[Huey, Any]] = []
        self._names: set[str] = set()

    def place(self, kind: str = "memory", name: str | None = None) -> Place:
        Selection(self._request.config).require(kind)
        try:
            huey_class(kind)
        except Unavailable as reason:
            pytest.skip(str(reason))
        name = name or f"q{uuid4().hex[:12]}"
        self._names.add(name)
        return Place(kind, self._location(kind, name), name)

    def huey(self, kind: str = "memory", name: str | None = None, **options: Any) -> Huey:
        huey = self.place(kind, name).open(**options)
        # Switching `immediate` gives a Huey another storage: the first is to be closed as well.
        self._opened.append((huey, huey.storage))
        return huey

    def _location(self, kind: str, name: str) -> str:
        if kind in REDIS_KINDS:
            return self._redis_url
        if kind == "postgres":
            return self._postgres_schema
        # A FileStorage holds one queue; the queues of one SQL database share its file.
        return str(self._folder / (f"{name}.queue" if kind == "file" else f"{kind}.db"))

    @cached_property
    def _redis_url(self) -> str:
        return self._request.getfixturevalue("redis_url")

    @cached_property
    def _postgres_schema(self) -> str:
        dsn, schema = self._request.getfixturevalue("postgres_dsn"), f"t{uuid4().hex[:12]}"
        _postgres(dsn, f"create schema {schema}")
        return f"{dsn}?options=-csearch_path%3D{schema}"

    def clear(self) -> None:
        end_kits(huey for huey, _ in self._opened)
        for huey, storage in self._opened:
            _close(storage)
            _close(huey.storage)
        if "_redis_url" in vars(self):
            self._clear_redis()
        if "_postgres_schema" in vars(self):
            dsn, schema = self._postgres_schema.split("?options=-csearch_path%3D")
            # A consumer that still held a lock there would otherwise hang the whole session.
            _postgres(dsn, "set lock_timeout = '20s'", f"drop schema {schema} cascade")

    def _clear_redis(self) -> None:
        import redis

        # Huey leaves some characters of a name out of its keys, more or fewer by version.
        names = self._names | {storage.name for _, storage in self._opened}
        with redis.Redis.from_url(self._redis_url) as client:
            for key in client.scan_iter(count=1000):
                if any(name.encode() in key for name in names):
                    client.delete(key)


def _postgres(dsn: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def _close(storage: Any) -> None:
    storage.close()
    if hasattr(storage, "pool"):
        storage.pool.disconnect()
