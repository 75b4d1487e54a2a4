"""The tree of spans, in one process: by default through ids, with `propagate` through headers."""

from __future__ import annotations

import pytest
from huey import exceptions

from huey_signals_kit import Registry, install_handlers
from huey_signals_kit.handlers.reschedule import RescheduleLocked
from huey_signals_kit.integrations.opentelemetry import trace_id
from tests.support import hold, run_all, wait_until
from tests.tracing.spans import traces, tree

needs_chords = pytest.mark.skipif(
    not hasattr(__import__("huey"), "chord"), reason="chords came with Huey 3"
)


def run_scheduled(huey):
    """Run everything, and what the schedule has, when it is due."""
    run_all(huey)
    while huey.scheduled_count():
        due = wait_until(huey.read_schedule, 10, "a task that is due")
        for task in due:
            huey.enqueue(task)
        run_all(huey)


def test_a_task_has_a_producer_and_a_consumer(instrument, make_huey):
    """Both are in the trace of the task's id and link to each other, and nothing travels."""
    traced, huey = instrument(), make_huey()
    add = huey.task(name="add")(lambda: 1)
    task_id = add().id
    message = huey.storage.enqueued_items()[0]
    run_all(huey)
    send, process = traced.spans
    assert tree(traced.spans) == {
        "send add 1": (None, {"process add 1"}),
        "process add 1": (None, {"send add 1"}),
    }
    assert {send["trace"], process["trace"]} == {trace_id(task_id)}
    assert (send["kind"], process["kind"]) == ("PRODUCER", "CONSUMER")
    assert message.endswith(b".")


def test_with_propagate_the_consumer_is_a_child_of_the_producer(instrument, make_huey):
    """And the producer of the caller's span: all is one trace."""
    traced, huey = instrument(propagate=True), make_huey()
    add = huey.task(name="add")(lambda: 1)
    with traced.tracer.start_as_current_span("request"):
        add()
    run_all(huey)
    assert tree(traced.spans) == {
        "request": (None, set()),
        "send add 1": ("request", set()),
        "process add 1": ("send add 1", set()),
    }
    assert len(traces(traced.spans)) == 1


def test_the_callers_span_and_the_producer_link_to_each_other(instrument, make_huey):
    """They are in different traces."""
    traced, huey = instrument(), make_huey()
    add = huey.task(name="add")(lambda: 1)
    with traced.tracer.start_as_current_span("request"):
        add()
    assert tree(traced.spans) == {
        "request": (None, {"send add 1"}),
        "send add 1": (None, {"request", "missing"}),
    }


def test_the_consumer_is_current_while_the_task_runs(instrument, make_huey):
    """A span of the task's body is its child."""
    traced, huey = instrument(), make_huey()

    @huey.task()
    def add():
        with traced.tracer.start_as_current_span("query"):
            pass

    add()
    run_all(huey)
    assert tree(traced.spans)["query"] == ("process add 1", set())


def failing(huey, *errors, **options):
    """A task `add` that raises each of *errors* in turn, then ends well."""
    left = list(errors)

    @huey.task(**options)
    def add():
        if left:
            raise left.pop(0)

    return add


@pytest.mark.parametrize("propagate", [False, True])
def test_a_retry_is_sent_by_the_attempt_before(instrument, make_huey, propagate):
    """In the same trace."""
    traced, huey = instrument(propagate), make_huey()
    failing(huey, ValueError("broken"), retries=1)()
    run_all(huey)
    if propagate:
        assert tree(traced.spans) == {
            "send add 1": (None, set()),
            "process add 1": ("send add 1", set()),
            "send add 2": ("process add 1", set()),
            "process add 2": ("send add 2", set()),
        }
    else:
        assert tree(traced.spans) == {
            "send add 1": (None, {"process add 1"}),
            "process add 1": (None, {"send add 1"}),
            "send add 2": ("process add 1", {"process add 2"}),
            "process add 2": (None, {"send add 2"}),
        }
    assert len(traces(traced.spans)) == 1


@pytest.mark.parametrize("propagate", [False, True])
def test_a_retry_with_a_delay_goes_through_the_schedule(instrument, make_huey, propagate):
    """The attempt schedules, the scheduler sends."""
    traced, huey = instrument(propagate), make_huey()
    failing(huey, ValueError("broken"), retries=1, retry_delay=0.1)()
    run_scheduled(huey)
    if propagate:
        assert tree(traced.spans) == {
            "send add 1": (None, set()),
            "process add 1": ("send add 1", set()),
            "schedule add 2": ("process add 1", set()),
            "send add 2": ("schedule add 2", set()),
            "process add 2": ("send add 2", set()),
        }
    else:
        assert tree(traced.spans) == {
            "send add 1": (None, {"process add 1"}),
            "process add 1": (None, {"send add 1"}),
            "schedule add 2": ("process add 1", {"process add 2"}),
            "send add 2": (None, {"schedule add 2", "process add 2"}),
            "process add 2": (None, {"schedule add 2", "send add 2"}),
        }
    assert len(traces(traced.spans)) == 1


@pytest.mark.parametrize("propagate", [False, True])
def test_a_scheduled_task_is_sent_by_the_scheduler(instrument, make_huey, propagate):
    """A worker only passes the message on, and makes no span."""
    traced, huey = instrument(propagate), make_huey()
    add = huey.task(name="add")(lambda: 1)
    add.schedule(delay=0.2)
    run_scheduled(huey)
    if propagate:
        assert tree(traced.spans) == {
            "schedule add 1": (None, set()),
            "send add 1": ("schedule add 1", set()),
            "process add 1": ("send add 1", set()),
        }
    else:
        assert tree(traced.spans) == {
            "schedule add 1": (None, {"process add 1"}),
            "send add 1": (None, {"schedule add 1", "process add 1"}),
            "process add 1": (None, {"schedule add 1", "send add 1"}),
        }


def test_a_scheduled_task_that_a_worker_gets_late_is_not_sent_again(instrument, make_huey):
    """The worker cannot know that, so one of its links leads nowhere."""
    traced, huey = instrument(), make_huey()
    task = huey.task(name="add")(lambda: 1).s(delay=0.05)
    huey.enqueue(task)
    wait_until(lambda: huey.ready_to_run(task), 10, "the time of the task")
    run_all(huey)
    assert tree(traced.spans) == {
        "schedule add 1": (None, {"process add 1"}),
        "process add 1": (None, {"schedule add 1", "missing"}),
    }


@pytest.mark.parametrize("propagate", [False, True])
def test_the_next_stage_of_a_pipeline_is_sent_by_the_one_before(instrument, make_huey, propagate):
    """By default each stage has its own trace, and the two are linked."""
    traced, huey = instrument(propagate), make_huey()
    first = huey.task(name="first")(lambda: 1)
    second = huey.task(name="second")(lambda before: before + 1)
    huey.enqueue(first.s().then(second))
    run_all(huey)
    if propagate:
        assert tree(traced.spans) == {
            "send first 1": (None, set()),
            "process first 1": ("send first 1", set()),
            "send second 1": ("process first 1", set()),
            "process second 1": ("send second 1", set()),
        }
        assert len(traces(traced.spans)) == 1
    else:
        assert tree(traced.spans) == {
            "send first 1": (None, {"process first 1"}),
            "process first 1": (None, {"send first 1", "send second 1"}),
            "send second 1": (None, {"process first 1", "process second 1"}),
            "process second 1": (None, {"send second 1"}),
        }
        assert len(traces(traced.spans)) == 2


@needs_chords
@pytest.mark.parametrize("propagate", [False, True])
def test_the_callback_of_a_chord_is_sent_by_the_last_part(instrument, make_huey, propagate):
    """By default every part links to it."""
    from huey.api import chord

    traced, huey = instrument(propagate), make_huey()
    one = huey.task(name="one")(lambda: 1)
    two = huey.task(name="two")(lambda: 2)
    total = huey.task(name="total")(sum)
    with traced.tracer.start_as_current_span("request"):
        huey.enqueue(chord([one.s(), two.s()], total.s()))
    run_all(huey)
    if propagate:
        assert tree(traced.spans) == {
            "request": (None, set()),
            "send one 1": ("request", set()),
            "send two 1": ("request", set()),
            "process one 1": ("send one 1", set()),
            "process two 1": ("send two 1", set()),
            "send total 1": ("process two 1", set()),
            "process total 1": ("send total 1", set()),
        }
    else:
        assert tree(traced.spans) == {
            "request": (None, {"send one 1", "send two 1"}),
            "send one 1": (None, {"request", "process one 1"}),
            "send two 1": (None, {"request", "process two 1"}),
            "process one 1": (None, {"send one 1", "send total 1"}),
            "process two 1": (None, {"send two 1", "send total 1"}),
            "send total 1": (None, {"process two 1", "process total 1"}),
            "process total 1": (None, {"send total 1"}),
        }
    for span in traced.spans:
        assert len(span["links"]) == len({tuple(link) for link in span["links"]})


@pytest.mark.parametrize("propagate", [False, True])
def test_a_rescheduled_task_continues_its_trace(instrument, make_huey, propagate):
    """Each attempt that meets the lock is a span of its own, although the retries stay the same."""
    traced, huey = instrument(propagate), make_huey()
    registry = Registry()
    registry.add(RescheduleLocked(delay=0.1), "locked", "error", "retrying")
    add = huey.task(name="add")(huey.lock_task("held")(lambda: 1))
    with install_handlers(huey, preset=registry):
        hold(huey, "held")
        add()
        run_all(huey)
        huey.flush_locks()
        run_scheduled(huey)
    operations = [span["name"].partition(" ")[0] for span in traced.spans]
    assert operations == ["send", "schedule", "process", "send", "process"]
    assert {span["trace"] for span in traced.spans} == {traced.spans[0]["trace"]}
    first, second = (span for span in traced.spans if span["kind"] == "CONSUMER")
    assert first["attributes"]["huey.skipped"] == "locked"
    assert first["attributes"]["huey.will_retry"] is True
    assert "huey.skipped" not in second["attributes"]
    ids = [(span["trace"], span["id"]) for span in traced.spans]
    assert len(set(ids)) == 5
    sent, scheduled, _, sent_again, _ = ids
    if propagate:
        assert [tuple(first["parent"]), tuple(second["parent"])] == [sent, sent_again]
    else:
        assert first["links"] == [list(sent)]
        assert second["links"] == [list(sent_again), list(scheduled)]


def test_in_immediate_mode_the_consumer_is_inside_of_the_producer(instrument, make_huey):
    """There is no message."""
    traced, huey = instrument(), make_huey(immediate=True)
    add = huey.task(name="add")(lambda: 1)
    add()
    parent, _ = tree(traced.spans)["process add 1"]
    assert parent == "send add 1"


def test_a_task_that_enqueues_another_is_linked_with_it(instrument, make_huey):
    """The producer's span is in the trace of the new task."""
    traced, huey = instrument(), make_huey()
    inner = huey.task(name="inner")(lambda: 1)
    outer = huey.task(name="outer")(lambda: inner() and None)
    outer()
    run_all(huey)
    found = tree(traced.spans)
    assert found["process outer 1"] == (None, {"send outer 1", "send inner 1"})
    assert found["send inner 1"] == (None, {"process outer 1", "process inner 1"})


def test_an_unchanged_message_gets_other_span_ids(instrument, make_huey):
    """`RetryTask` without a delay changes nothing in the message."""
    traced, huey = instrument(), make_huey()
    failing(huey, exceptions.RetryTask(), exceptions.RetryTask())()
    run_all(huey)
    ids = [span["id"] for span in traced.spans]
    assert len(ids) == len(set(ids)) == 6
