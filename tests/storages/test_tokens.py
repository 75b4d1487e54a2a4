"""A revoke token is gone once it has done its work, and not before, on every storage."""

from __future__ import annotations

import datetime

import huey as huey_package
import pytest
from huey import crontab

from huey_signals_kit import install_handlers
from tests.support import hold, run_all, stored_errors, tokens

HOUR = datetime.timedelta(hours=1)


def declare(huey):
    ran = []

    @huey.task()
    def job(n=0):
        ran.append(n)

    return job, ran


@pytest.mark.parametrize("until", [None, HOUR])
def test_a_spent_token_is_deleted_after_the_skip(any_huey, until):
    """Also one that was to hold for longer: the task is gone, and its id never comes back."""
    kit = install_handlers(any_huey)
    job, ran = declare(any_huey)
    revoked, other = job(1), job(2)
    any_huey.revoke_by_id(revoked.id, revoke_until=until and datetime.datetime.now() + until)
    any_huey.revoke_by_id(other.id)
    any_huey.restore_by_id(other.id)
    run_all(any_huey)
    assert ran == [2]
    assert tokens(any_huey) == set()
    assert kit.count("huey_tokens_cleaned_total", by="skip") == 1


def test_a_bare_huey_keeps_the_token(any_huey):
    """The same without the kit: this is what is cured."""
    job, _ = declare(any_huey)
    revoked = job()
    any_huey.revoke_by_id(revoked.id)
    run_all(any_huey)
    assert tokens(any_huey) == {f"r:{revoked.id}"}


def test_a_token_of_a_task_that_waits_is_not_touched(any_huey):
    """Scheduled tasks keep their tokens while others are skipped, and are skipped in time."""
    install_handlers(any_huey)
    job, ran = declare(any_huey)
    later = job.schedule(args=(1,), delay=3600)
    now = job(2)
    any_huey.revoke_by_id(later.id)
    any_huey.revoke_by_id(now.id)
    run_all(any_huey)
    assert tokens(any_huey) == {f"r:{later.id}"}
    tomorrow = any_huey._get_timestamp() + datetime.timedelta(days=1)
    run_all(any_huey, scheduled=True, now=tomorrow)
    assert ran == []
    assert tokens(any_huey) == set()


@pytest.mark.parametrize(
    ("clean_tokens", "left"),
    [
        ("generated", {"r:nightly"}),
        ("always", set()),
        ("never", {"r:nightly", "r:GENERATED"}),
        (lambda event: event.task_id == "nightly", {"r:GENERATED"}),
    ],
    ids=["generated", "always", "never", "a callable"],
)
def test_which_ids_are_cleaned(any_huey, clean_tokens, left):
    """An id that a user gave may be enqueued again, so its token may be meant to last."""
    install_handlers(any_huey, clean_tokens=clean_tokens)
    job, ran = declare(any_huey)
    generated = job(1)
    named = any_huey.enqueue(job.task_class((2,), id="nightly"))
    for result in (generated, named):
        any_huey.revoke_by_id(result.id)
    run_all(any_huey)
    assert ran == []
    assert tokens(any_huey) == {key.replace("GENERATED", generated.id) for key in left}


@pytest.mark.parametrize(
    "near_miss",
    [
        "00000000-0000-1000-8000-000000000000",  # a uuid1
        "A3BB189E-8BF9-4888-9912-ACE4E6543002",  # upper case
        "a3bb189e8bf948889912ace4e6543002",  # no dashes
        "a3bb189e-8bf9-4888-9912-ace4e6543002\n",
        "xa3bb189e-8bf9-4888-9912-ace4e6543002",
    ],
)
def test_what_only_looks_like_an_id_of_hueys_is_kept(make_huey, near_miss):
    """Huey's own ids are str(uuid.uuid4()) and nothing else."""
    huey = make_huey("memory")
    install_handlers(huey)
    job, _ = declare(huey)
    huey.enqueue(job.task_class(id=near_miss))
    huey.revoke_by_id(near_miss)
    run_all(huey)
    assert tokens(huey) == {f"r:{near_miss}"}


def test_a_pause_switch_is_never_touched(any_huey):
    """``task.revoke()`` holds for every task of its kind until it is taken back."""
    kit = install_handlers(any_huey, clean_tokens="always")
    job, ran = declare(any_huey)
    job.revoke()
    job(1), job(2)
    run_all(any_huey)
    assert tokens(any_huey) == {f"rt:{__name__}.job"}
    assert kit.count("huey_tokens_cleaned_total") == 0
    job.restore()
    job(3)
    run_all(any_huey)
    assert ran == [3]


def test_a_periodic_task_keeps_its_token(any_huey):
    """Also with ``clean_tokens="always"``: a periodic task comes again."""
    install_handlers(any_huey, clean_tokens="always")

    @any_huey.periodic_task(crontab())
    def nightly():
        """Revoked here."""

    (task,) = any_huey.read_periodic(None)
    any_huey.revoke(task)
    any_huey.enqueue(task)
    run_all(any_huey)
    assert tokens(any_huey) == {task.revoke_id}


def test_a_revoked_error_handler_stays_revoked_for_every_failure(any_huey):
    """Huey enqueues the same ``on_error`` task for each failed attempt, so its token must last."""
    install_handlers(any_huey, clean_tokens="always")
    job, ran = declare(any_huey)

    @any_huey.task(retries=2)
    def fails():
        raise ValueError("broken")

    failing = fails.s().error(job)
    any_huey.revoke(failing.on_error)
    any_huey.enqueue(failing)
    run_all(any_huey)
    assert ran == []
    assert tokens(any_huey) == {failing.on_error.revoke_id}


@pytest.mark.skipif(not hasattr(huey_package, "group"), reason="groups came in 3.0")
def test_a_revoked_error_handler_of_a_group_stays_revoked_for_every_member(make_huey):
    """``group.error()`` hangs one task on all of them."""
    huey = make_huey("memory")
    install_handlers(huey)
    job, ran = declare(huey)

    @huey.task()
    def fails(n):
        raise ValueError(n)

    alarm = job.s()
    members = huey_package.group([fails.s(n) for n in range(3)])
    members.error(alarm)
    huey.revoke(alarm)
    huey.enqueue(members)
    run_all(huey)
    assert ran == []
    assert tokens(huey) == {alarm.revoke_id}


def test_a_token_for_one_skip_is_left_to_huey(any_huey):
    """Huey has deleted it by then, so nothing is counted or announced twice."""
    kit = install_handlers(any_huey)
    job, ran = declare(any_huey)
    job().revoke()
    run_all(any_huey)
    assert (ran, tokens(any_huey)) == ([], set())
    assert kit.count("huey_tokens_cleaned_total") == 0


def test_a_storage_that_fails_costs_the_token_and_nothing_else(make_huey, caplog):
    """The skip stands, the next task runs, and the log says what happened."""
    huey = make_huey("memory")
    kit = install_handlers(huey)
    job, ran = declare(huey)
    revoked = job(1)
    huey.revoke_by_id(revoked.id)
    job(2)
    delete = huey.storage.delete_data

    def broken(key):
        if key == f"r:{revoked.id}":
            raise ConnectionError("storage is gone")
        return delete(key)

    huey.storage.delete_data = broken
    run_all(huey)
    assert ran == [2]
    assert tokens(huey) == {f"r:{revoked.id}"}
    assert kit.count("huey_handler_errors_total") == 1
    assert "ConnectionError: storage is gone" in caplog.text


def test_tidy_tokens_only_tidies_tokens(any_huey):
    """Lock errors are stored as ever."""
    kit = install_handlers(any_huey, preset="tidy-tokens")
    job, _ = declare(any_huey)

    @any_huey.task()
    @any_huey.lock_task("held")
    def guarded():
        """Never runs."""

    hold(any_huey, "held")
    skipped, revoked = guarded(), job()
    any_huey.revoke_by_id(revoked.id)
    run_all(any_huey)
    assert tokens(any_huey) == set()
    assert set(stored_errors(any_huey)) == {skipped.id}
    assert kit.count("huey_signals_total") == 0
    assert set(any_huey._signal.receivers) == {"any", "revoked"}
