"""What the tests of sinks share: tasks with every outcome, and a consumer with a sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from huey.api import Huey

from tests.consumer.app import declare
from tests.consumer.harness import Consumer, running_consumer
from tests.support import Place, hold, run_all

_tasks: WeakKeyDictionary[Huey, SimpleNamespace] = WeakKeyDictionary()


@pytest.fixture
def work() -> Callable[..., None]:
    """`work(huey, done=, skipped=, failed=)`: runs so many tasks with each outcome."""

    def run(huey: Huey, done: int = 3, skipped: int = 2, failed: int = 1) -> None:
        enqueue(huey, done, skipped, failed)
        run_all(huey)

    return run


def enqueue(huey: Huey, done: int, skipped: int, failed: int) -> None:
    """Enqueues tasks with each outcome; the lock `held` is taken if there is need."""
    if huey not in _tasks:
        _tasks[huey] = declare(huey)
    tasks = _tasks[huey]
    if skipped and not huey.is_locked("held"):
        hold(huey, "held")
    for task, times in ((tasks.ordinary, done), (tasks.guarded, skipped), (tasks.fails, failed)):
        for n in range(times):
            task(n)


@pytest.fixture
def consumer_with_sink(
    make_place: Callable[..., Place],
    make_huey: Callable[..., Huey],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., AbstractContextManager[tuple[Consumer, Huey, Path]]]:
    """`consumer_with_sink(sink, worker)`: a running one, its queue, and the sink's output."""

    @contextmanager
    def run(sink: str, worker: str) -> Iterator[tuple[Consumer, Huey, Path]]:
        place = make_place("redis")
        output = tmp_path / "output"
        monkeypatch.setenv("HUEY_KIT_TEST_SINK", sink)
        monkeypatch.setenv("HUEY_KIT_TEST_OUTPUT", str(output))
        monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
        (tmp_path / "temporary").mkdir()
        install: dict[str, Any] = {"sinks": sink}
        log = tmp_path / "consumer.log"
        with running_consumer(
            place, log, worker=worker, install=install, app="tests.sinks.app"
        ) as consumer:
            yield consumer, make_huey("redis", place.name), output

    return run
