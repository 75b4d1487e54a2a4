"""What a recorder collects, and what its questions answer and say."""

from __future__ import annotations

import asyncio
import threading

import pytest
from huey import MemoryHuey, crontab
from huey.exceptions import TaskLockedException

from huey_signals_kit import DROP, KEEP, expire, get_kit, install_handlers, signals
from huey_signals_kit.testing import (
    Announcement,
    DeletedToken,
    RecordedEvent,
    RecordedVerdict,
    Recorder,
    held_lock,
    installed,
    record,
)
from huey_signals_kit.testing._counts import explain_comparison
from tests.support import HAS_ENQUEUED, run_all

ENQUEUED = ["enqueued"] if HAS_ENQUEUED else []


class Shop:
    """A Huey in immediate mode with tasks that end in different ways."""

    def __init__(self, **kit):
        self.huey = huey = MemoryHuey("shop", immediate=True)
        self.kit = install_handlers(huey, **kit)

        @huey.task()
        @huey.lock_task("import")
        def import_orders():
            return 1

        @huey.task(lock_errors="keep")
        @huey.lock_task("ledger")
        def close_books():
            return 1

        @huey.task(retries=1)
        def pay(order=0):
            raise ValueError(f"order {order}")

        self.import_orders, self.close_books, self.pay = import_orders, close_books, pay


@pytest.fixture
def shop():
    return Shop()


def test_events_are_plain_data_in_their_order(shop):
    """One for each signal, with the fields of the event; equal ones are equal."""
    with record(shop.huey) as recorded, held_lock(shop.huey, "import"):
        result = shop.import_orders()
    assert [each.signal for each in recorded.events] == [*ENQUEUED, "executing", "locked"]
    last = recorded.events[-1]
    assert last == RecordedEvent(
        signal="locked",
        task_name="tests.testing.test_recorder.import_orders",
        task_id=result.id,
        lock="import",
        exception=last.exception,
        is_lock_error=True,
        duration=last.duration,
        timestamp=last.timestamp,
    )
    assert type(last.exception) is TaskLockedException
    with pytest.raises(AttributeError):
        last.signal = "error"


def test_the_first_assertions_that_a_user_writes(shop):
    """By task function, name, glob and list; with and without the lock, the class, the verdict."""
    with record(shop.huey) as recorded:
        with held_lock(shop.huey, "import"):
            shop.import_orders()
            shop.import_orders()
        shop.import_orders()
        shop.pay(17)
    assert recorded.skips() == 2
    assert recorded.skips(shop.import_orders) == 2
    assert recorded.skips(shop.import_orders, lock="import") == 2
    assert recorded.skips("import_orders", lock="imp*") == 2
    assert recorded.skips("*.import_*") == 2
    assert recorded.skips([shop.pay, "import_orders"]) == 2
    assert recorded.skips(shop.import_orders, lock="ledger") == 0
    assert not recorded.skips(shop.pay)
    assert recorded.errors(shop.pay) == 2
    assert recorded.errors(shop.pay, ValueError) == 2
    assert recorded.errors(shop.pay, (OSError, KeyError)) == 0
    assert recorded.errors(shop.import_orders) == 0
    assert recorded.suppressed(shop.import_orders) == 2
    assert recorded.suppressed(shop.import_orders, DROP) == 2
    assert recorded.suppressed(shop.import_orders, expire(60)) == 0
    attempt = [*ENQUEUED, "executing", "error"]
    assert recorded.signals(shop.pay) == [*attempt, "retrying", *attempt]
    assert recorded.kit.count("huey_lock_skips_total") == 2
    assert recorded.handler_errors() == 0


def test_verdicts_are_those_of_the_handler_that_decides(shop):
    """A task's own option comes first; an attempt without a verdict is not listed."""
    shop.kit.on("error", tasks=shop.pay)(lambda e: DROP if e.will_retry else expire(3600))
    with record(shop.huey) as recorded, held_lock(shop.huey, "ledger"):
        shop.close_books()
        shop.pay(1)
    assert [each.verdict for each in recorded.verdicts] == [KEEP, DROP, expire(3600)]
    assert recorded.verdicts[1] == RecordedVerdict(
        task_name="tests.testing.test_recorder.pay",
        task_id=recorded.verdicts[2].task_id,
        verdict=DROP,
        exception=recorded.verdicts[1].exception,
    )
    assert recorded.suppressed(shop.close_books) == 0
    with record(shop.huey, "observe") as recorded:
        shop.huey.task(name="no_handler")(lambda: 1 / 0)()
    assert recorded.verdicts == []


def test_a_skip_of_a_task_with_retries_counts_once():
    """Huey emits `locked` and `retrying` for the same attempt."""
    huey = MemoryHuey("queued")
    huey.task(name="import_orders", retries=1)(huey.lock_task("import")(lambda: 1))()
    with record(huey) as recorded, held_lock(huey, "import"):
        run_all(huey)
    assert recorded.signals("import_orders").count("retrying") == 1
    assert recorded.skips() == recorded.signals("import_orders").count("locked") == 2
    assert str(recorded.events[-1]) == "locked by 'import'"


def test_a_rescheduled_task_has_a_verdict_that_says_so():
    """Nothing is suppressed: it runs again."""
    huey = MemoryHuey("queued")
    huey.task(name="import_orders")(huey.lock_task("import")(lambda: 1))()
    with record(huey, "reschedule-locks") as recorded, held_lock(huey, "import"):
        run_all(huey)
    assert [(str(each), each.reschedules) for each in recorded.verdicts] == [
        ("-> reschedule", True)
    ]
    assert recorded.skips("import_orders", lock="import") == 1
    assert recorded.suppressed() == 0
    assert recorded.signals("import_orders")[-1] == "scheduled"


def test_deleted_tokens_name_their_task(shop):
    """Those that the kit deletes after the skip of a revoked task."""
    huey = MemoryHuey("queued")
    task = huey.task(name="nightly")(lambda: None)
    periodic = huey.periodic_task(crontab(), name="hourly")(lambda: None)
    install_handlers(huey)
    with record(huey) as recorded:
        result = task()
        huey.revoke_by_id(result.id)
        periodic.revoke()
        run_all(huey)
    assert recorded.deleted_tokens == [
        DeletedToken(f"r:{result.id}", "skip", "tests.testing.test_recorder.nightly")
    ]
    assert recorded.tokens() == recorded.tokens(task) == 1
    assert recorded.tokens(periodic) == 0


def test_announcements_have_their_name_and_data(shop):
    """Only those of this Huey, and none after the end."""
    other = Shop()
    with record(shop.huey) as recorded, held_lock(shop.huey, "import"):
        with held_lock(other.huey, "import"):
            other.import_orders()
        shop.import_orders()
    with held_lock(shop.huey, "import"):
        shop.import_orders()
    assert [each.name for each in recorded.announcements] == ["lock_skipped", "result_suppressed"]
    suppressed = recorded.announcements[1]
    assert type(suppressed) is Announcement
    assert suppressed.data["verdict"] == DROP
    assert len(recorded.events) == len(ENQUEUED) + 2
    assert not signals.lock_skipped.receivers


def test_a_handler_that_raises_is_seen(shop):
    """The kit only logs it, so a test asks for it, by name or glob."""
    shop.kit.on("complete", name="mailer")(lambda event: 1 / 0)
    with record(shop.huey) as recorded:
        shop.import_orders()
    assert recorded.handler_errors() == recorded.handler_errors("mail*") == 1
    assert recorded.handler_errors("other") == 0
    assert "handler mailer: ZeroDivisionError" in repr(recorded.handler_errors("other"))


def test_a_failing_assertion_says_what_was_recorded(shop):
    """In the number's repr, which `unittest` shows, and in the lines for pytest."""
    with record(shop.huey) as recorded, held_lock(shop.huey, "import"):
        result = shop.import_orders()
        shop.pay(4)
    count = recorded.skips(shop.pay, lock="import")
    name = "tests.testing.test_recorder"
    enqueued = "".join(f"{each}, " for each in ENQUEUED)
    skipped = (
        f"{name}.import_orders {result.id[:8]}: {enqueued}executing, locked by 'import' -> DROP"
    )
    assert str(count) == f"0 lock skips of {name}.pay with lock 'import'"
    assert repr(count).startswith(f"<{count!s}: recorded {skipped}; {name}.pay ")
    assert explain_comparison("==", count, 1)[:3] == [
        f"{count!s} == 1",
        "recorded:",
        f"  {skipped}",
    ]
    assert "error ValueError('order 4')" in repr(count)
    assert repr(recorded).startswith(f"<Recorder of 'shop': {skipped}; ")
    assert f"{count}" == "0"
    assert (count + 1, count < 1, type(count + 1)) == (1, True, int)
    with record(shop.huey) as empty:
        pass
    assert repr(empty.errors(exceptions=(OSError, KeyError))) == (
        "<0 errors with OSError/KeyError: recorded nothing>"
    )
    assert explain_comparison("==", 1, empty.skips()) == ["1 == 0 lock skips", "recorded nothing"]
    assert explain_comparison("==", 1, 2) is None


@pytest.mark.skipif(not HAS_ENQUEUED, reason="Huey has no such signal")
def test_a_failed_comparison_says_that_no_worker_runs_the_tasks():
    """They are in the queue of a Huey that is not in immediate mode, as in a forgotten setting."""
    huey = MemoryHuey("shop", immediate=False)
    with record(huey) as recorded:
        huey.task()(lambda: None)()
    last = explain_comparison("==", recorded.skips(), 1)[-1]
    assert last.strip().startswith("the Huey is not in immediate mode: these tasks wait in its")
    with record(MemoryHuey("shop", immediate=True)) as recorded:
        recorded.huey.task()(lambda: None)()
    assert "immediate" not in "".join(explain_comparison("==", recorded.skips(), 1))


def test_a_long_record_shows_its_newest_lines(shop):
    """At most twenty; a test of a thousand tasks has a message that can be read."""
    with record(shop.huey) as recorded:
        for _ in range(30):
            shop.import_orders()
    first, *rest = explain_comparison("==", recorded.skips(), 1)[2:]
    assert first.strip() == "... 10 more"
    assert len(rest) == 20


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        (3, TypeError, "the task of a recorder takes globs over 'module.name' and task functions"),
        ("", ValueError, "the task of a recorder got '', which matches nothing"),
        ([], ValueError, "the task of a recorder got an empty list"),
        (lambda: None, TypeError, "declare it with @huey.task"),
        ("a, b", ValueError, "because of the comma"),
    ],
)
def test_a_task_that_can_match_nothing_is_refused(shop, task, error, words):
    """By each question, with its value."""
    with record(shop.huey) as recorded, pytest.raises(error, match=words.replace("*", r"\*")):
        recorded.skips(task)


def test_a_wrong_exception_class_is_refused(shop):
    """By the name of the question's argument."""
    with (
        record(shop.huey) as recorded,
        pytest.raises(TypeError, match=r"exceptions= of errors\(\)"),
    ):
        recorded.errors(shop.pay, "ValueError")


def test_a_recorder_that_was_not_begun_says_how(shop):
    """Else each of its answers would be a 0 that looks right."""
    recorded = record(shop.huey)
    shop.import_orders()
    with pytest.raises(RuntimeError, match=r"write: with record\(huey\) as recorded"):
        recorded.skips()
    with pytest.raises(RuntimeError, match="has not begun"):
        recorded.kit  # noqa: B018


def test_clear_forgets_the_preparation_of_a_test(shop):
    """Events and messages begin again; the counts of the kit do not."""
    with record(shop.huey) as recorded, held_lock(shop.huey, "import"):
        shop.import_orders()
        recorded.clear()
        assert recorded.skips() == 0
        assert repr(recorded) == "<Recorder of 'shop': nothing>"
        shop.import_orders()
        assert recorded.skips() == 1
        assert recorded.kit.count("huey_lock_skips_total") == 2


def test_a_recorder_in_a_block_records_the_kit_of_that_block(shop):
    """With options it installs one of its own; two recorders see the same."""
    with installed(shop.huey, "observe") as kit:
        with record(shop.huey) as first, record(shop.huey) as second:
            assert first.kit is second.kit is kit
            with held_lock(shop.huey, "import"):
                shop.import_orders()
        assert first.events == second.events
        assert first.verdicts == second.verdicts == []
        assert not [each for each in kit.handlers if each.name == "the recorder"]
        with record(shop.huey, "quiet-locks") as third, held_lock(shop.huey, "import"):
            assert third.kit is not kit
            shop.import_orders()
        assert [each.verdict for each in third.verdicts] == [DROP]
        assert get_kit(shop.huey) is kit
        shop.import_orders()
    assert len(first.events) == len(third.events) == len(ENQUEUED) + 2
    assert get_kit(shop.huey) is shop.kit


def test_a_recorder_that_has_ended_records_nothing_more(shop):
    """While its kit goes on; but what was still queued for the background belongs to it."""
    with installed(shop.huey) as kit:
        kit.on("locked", background=True, name="mailer")(lambda event: 1 / (len(seen) - 1))
        seen, attach = ["one"], kit._receiver.attach
        with record(shop.huey) as recorded, held_lock(shop.huey, "import"):
            shop.import_orders()
        assert recorded.handler_errors("mailer") == 1
        assert kit._receiver.attach == attach
        with held_lock(shop.huey, "import"):
            shop.import_orders()
    assert len(recorded.verdicts) == recorded.suppressed() == recorded.handler_errors() == 1


def test_an_exception_in_the_block_ends_the_recorder_too(shop):
    """And what was recorded is still there."""
    recorded = record(shop.huey)
    with pytest.raises(ZeroDivisionError), recorded:
        1 / (shop.import_orders().get() - 1)
    assert get_kit(shop.huey) is shop.kit
    assert recorded.signals()[-1] == "complete"
    assert not signals.result_suppressed.receivers


def test_background_handlers_are_waited_for(shop):
    """So that an assertion sees what they have done."""
    go, done = threading.Event(), []
    with record(shop.huey) as recorded:

        @recorded.kit.on("complete", background=True)
        def slow(event):
            go.wait(10)
            done.append(event.task_name)

        shop.import_orders()
        assert done == []
        go.set()
        recorded.wait_for_background()
        assert done == ["tests.testing.test_recorder.import_orders"]


def test_an_async_test_may_use_it(shop):
    """A plain `with` block in a coroutine; the task runs in a thread."""

    async def test():
        with record(shop.huey) as recorded, held_lock(shop.huey, "import"):
            await asyncio.to_thread(shop.import_orders)
            return recorded

    recorded = asyncio.run(test())
    assert recorded.skips(shop.import_orders) == 1
    with pytest.raises(TypeError, match="not callable"):
        installed(shop.huey)(test)


def test_a_task_inside_a_task_keeps_its_own_verdict(shop):
    """In immediate mode the inner one ends while a handler of the outer one runs."""

    @shop.kit.on("error", tasks=shop.pay)
    def enqueue(event):
        shop.import_orders()
        return expire(5)

    with record(shop.huey) as recorded, held_lock(shop.huey, "import"):
        shop.pay(1)
    assert [(each.task_name.rpartition(".")[2], each.verdict) for each in recorded.verdicts] == [
        ("import_orders", DROP),
        ("pay", expire(5)),
    ] * 2


def test_a_proxy_stands_for_its_huey(shop):
    """As Flask's and Django's lazy objects do."""
    local = pytest.importorskip("werkzeug.local")
    functional = pytest.importorskip("django.utils.functional")
    for proxy in (
        local.LocalProxy(lambda: shop.huey),
        functional.SimpleLazyObject(lambda: shop.huey),
    ):
        with record(proxy) as recorded, held_lock(proxy, "import"):
            shop.import_orders()
        assert type(recorded) is Recorder
        assert recorded.skips() == 1
    assert get_kit(shop.huey) is shop.kit


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_recorder_whose_kit_was_replaced_answers_no_question(has_ended):
    """Otherwise an assertion that nothing happened would pass."""
    huey = MemoryHuey("queued")
    recorded = record(huey)
    with recorded:
        assert recorded.errors() == 0
        install_handlers(huey, "observe", replace=True)
        if not has_ended:
            with pytest.raises(RuntimeError, match="has replaced the kit of 'queued'"):
                recorded.errors()
    if has_ended:
        with pytest.raises(RuntimeError, match="has replaced the kit of 'queued'"):
            recorded.skips()
    with recorded:
        assert recorded.errors() == 0
