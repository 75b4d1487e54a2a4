"""Real consumers with every kind of worker do hundreds of tasks, most of which meet a held lock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from huey.api import Huey

from tests.consumer.app import declare
from tests.consumer.harness import running_consumer
from tests.selection import combinations
from tests.support import Place, locks, results, store, stored_errors, tokens

# What every ten tasks are: mostly such as find the lock taken, by themselves or in a wrapper.
TEN = ("ordinary", "fails", "revoked", *["guarded"] * 5, *["wrapped"] * 2)


@dataclass
class Sent:
    """What was enqueued, by task id: the results and errors to come, the tasks without either."""

    ordinary: dict[str, int] = field(default_factory=dict)
    fails: dict[str, str] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)

    def is_done(self, huey: Huey) -> bool:
        """Whether the queue is empty and what is to be kept has been stored."""
        kept = self.ordinary.keys() | self.fails.keys()
        return huey.pending_count() == 0 and kept <= store(huey).keys()


@pytest.fixture
def number(thorough: bool) -> int:
    """How many tasks a consumer does."""
    return 500 if thorough else 200


def enqueue(huey: Huey, number: int) -> Sent:
    """Enqueues all the tasks, each with its number, and revokes one of ten by its id."""
    tasks, sent = declare(huey), Sent()
    for n in range(number):
        kind = TEN[n % len(TEN)]
        if kind == "ordinary":
            sent.ordinary[tasks.ordinary(n).id] = n * 2
        elif kind == "fails":
            sent.fails[tasks.fails(n).id] = repr(ValueError(f"broken {n}"))
        elif kind == "revoked":
            sent.revoked.add(revoked := (tasks.guarded if n % 20 < 10 else tasks.ordinary)(n).id)
            huey.revoke_by_id(revoked)
        else:
            sent.locked.add(getattr(tasks, kind)(n).id)
    return sent


def errors(huey: Huey) -> dict[str, str]:
    """{task id: text} of the stored errors."""
    return {key: error["error"] for key, error in stored_errors(huey).items()}


@pytest.mark.parametrize(
    ("kind", "worker"), combinations(["sqlite", "redis"], ["thread", "process", "greenlet"])
)
def test_only_lock_errors_and_spent_tokens_are_missing(
    make_place: Callable[..., Place],
    make_huey: Callable[..., Huey],
    tmp_path: Path,
    kind: str,
    worker: str,
    number: int,
) -> None:
    """With the kit, every result and real error is there, but no lock error and no token."""
    place = make_place(kind)
    huey = make_huey(kind, place.name)
    install = {"preset": "quiet-locks"}
    with huey.lock_task("held"):
        sent = enqueue(huey, number)
        log = tmp_path / "consumer.log"
        with running_consumer(place, log, worker=worker, install=install) as consumer:
            consumer.wait_until(lambda: sent.is_done(huey), f"{number} tasks")
        assert locks(huey) == {"held"}
    assert results(huey) == sent.ordinary
    assert errors(huey) == sent.fails
    assert tokens(huey) == set()


def test_bare_huey_keeps_lock_errors_and_tokens(
    make_place: Callable[..., Place], make_huey: Callable[..., Huey], tmp_path: Path, number: int
) -> None:
    """Without the kit, the same work leaves an error of every lock and every spent token."""
    place = make_place("sqlite")
    huey = make_huey("sqlite", place.name)
    with huey.lock_task("held"):
        sent = enqueue(huey, number)
        with running_consumer(place, tmp_path / "consumer.log", install=None) as consumer:
            consumer.wait_until(lambda: sent.is_done(huey), f"{number} tasks")
    assert results(huey) == sent.ordinary
    assert errors(huey).keys() == sent.fails.keys() | sent.locked
    assert tokens(huey) == {f"r:{task_id}" for task_id in sent.revoked}
