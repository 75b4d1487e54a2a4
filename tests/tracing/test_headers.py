"""The header in messages: who reads it, who ignores it, and where there is none."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from huey.serializer import Serializer, SignedSerializer
from opentelemetry import baggage, context

from huey_signals_kit import install_handlers
from huey_signals_kit.inflight.tasks import in_flight_ids
from huey_signals_kit.integrations.opentelemetry import HueyInstrumentor, trace_id
from huey_signals_kit.store import Reader
from huey_signals_kit.upkeep import explain
from tests.support import hold, run_all
from tests.tracing.spans import traces, tree
from tests.tracing.test_trees import failing

MAGIC = b"\x00huey-trace\x01"
WAYS = {
    "plain": {},
    "gzip": {"compression": True},
    "zlib": {"compression": True, "use_zlib": True},
    "signed": {"serializer": SignedSerializer(secret="secret")},
    "signed gzip": {"serializer": SignedSerializer(secret="secret", compression=True)},
    "protocol 2": {"serializer": Serializer(pickle_protocol=2)},
}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def options(request):
    """Each way in which Huey's own serializers write."""
    return request.param


def test_every_serializer_of_hueys_carries_the_context(instrument, make_huey, options):
    """It is below compression and signature; a result has none."""
    traced, huey = instrument(propagate=True), make_huey(**options)
    add = huey.task(name="add")(lambda a: a + 1)
    with traced.tracer.start_as_current_span("request"):
        result = add(1)
    (message,) = huey.storage.enqueued_items()
    assert MAGIC in Reader(huey)._pickle(message)
    run_all(huey)
    assert tree(traced.spans)["process add 1"] == ("send add 1", set())
    assert len(traces(traced.spans)) == 1
    assert result() == 2


def test_the_safe_reader_reads_the_message(instrument, make_huey, options):
    """As one without a header, with every id that is nested in it."""
    instrument(propagate=True)
    huey = make_huey(**options)
    add = huey.task(name="add")(lambda *_: 1)
    head = add.s(1).then(add, 2)
    huey.enqueue(head)
    (raw,) = huey.storage.enqueued_items()
    message = Reader(huey).message(raw)
    assert message.id == head.id
    assert message.ids == {head.id, head.on_complete.id}


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
def test_the_kit_finds_the_task_wherever_it_is(instrument, make_huey, kind):
    """`explain`, the sweep of tokens and what is in flight."""
    instrument(propagate=True)
    huey = make_huey(kind)
    kit = install_handlers(huey)
    add = huey.task(name="add")(lambda *_: 1)
    queued, scheduled = add.s(1).then(add, 2), add.s(3, delay=3600)
    huey.enqueue(scheduled)
    huey.execute(huey.dequeue())  # into the schedule
    huey.enqueue(queued)
    messages = [*huey.storage.enqueued_items(), *huey.storage.scheduled_items()]
    assert [MAGIC in message for message in messages] == [True, True]
    assert [place_of(huey, each) for each in (queued, scheduled)] == ["queue", "schedule"]
    huey.revoke_by_id(queued.on_complete.id)
    report = kit.sweep_tokens()
    assert (report.live, report.marked) == (1, 0)
    taken = huey.dequeue()
    assert in_flight_ids(huey) == ({taken.id, queued.on_complete.id}, 0)


def place_of(huey, task):
    """Where the task is, by `explain`."""
    (place,) = explain(huey, task.id, patience=0).places
    return place.where


BARE = """
import sys
from huey import SqliteHuey
huey = SqliteHuey("shop", filename=sys.argv[1])
ran = []
@huey.task(name="add", retries=2)
def add(n):
    ran.append(n)
    if len(ran) == 1:
        raise ValueError("broken")
add.task_class.__module__ = "tests.tracing.test_headers"
huey._registry._registry = {"tests.tracing.test_headers.add": add.task_class}
huey.execute(huey.dequeue())
assert ran == [7], ran
"""


def test_bare_huey_runs_the_message_and_its_retry_has_no_header(instrument, make_huey, tmp_path):
    """The span of the retry is in the trace of the task's id then, with the right attempt."""
    traced, huey = instrument(propagate=True), make_huey("sqlite", name="shop")
    add = huey.task(name="add", retries=2)(lambda n: n)
    with traced.tracer.start_as_current_span("request"):
        add(7)
    path = huey.storage.filename
    subprocess.run([sys.executable, "-c", BARE, path], check=True, capture_output=True)
    (message,) = huey.storage.enqueued_items()
    assert MAGIC not in message
    run_all(huey)
    request, send, process = traced.spans[1], traced.spans[0], traced.spans[2]
    assert send["parent"][1] == request["id"]
    assert process["parent"] is None
    assert process["attributes"]["huey.attempt"] == 2


class Own(Serializer):
    """A serializer of the application."""

    def _serialize(self, data):
        return b"own" + pickle.dumps(data)

    def _deserialize(self, data):
        return pickle.loads(data[3:])


class Inherited(Serializer):
    """A serializer of the application that changes what Huey's own makes."""

    def serialize(self, data):
        return super().serialize(data)[::-1]

    def deserialize(self, data):
        return super().deserialize(data[::-1])


@pytest.mark.parametrize("serializer", [Own, Inherited])
def test_an_own_serializer_carries_nothing_and_says_so_once(
    instrument, make_huey, caplog, serializer
):
    """The spans are those of the default then."""
    traced, huey = instrument(propagate=True), make_huey(serializer=serializer())
    failing(huey, ValueError("broken"), retries=1)()
    (message,) = huey.storage.enqueued_items()
    assert MAGIC not in message
    assert MAGIC not in message[::-1]
    run_all(huey)
    assert tree(traced.spans) == {
        "send add 1": (None, {"process add 1"}),
        "process add 1": (None, {"send add 1"}),
        "send add 2": ("process add 1", {"process add 2"}),
        "process add 2": (None, {"send add 2"}),
    }
    warnings = [each for each in caplog.records if each.name == "huey_signals_kit"]
    assert len(warnings) == 1
    assert serializer.__name__ in warnings[0].getMessage()


def test_baggage_travels_too(instrument, make_huey):
    """By the global propagator, as with any other instrumentation."""
    instrument(propagate=True)
    huey, found = make_huey(), []
    add = huey.task(name="add")(lambda: found.append(baggage.get_baggage("customer")))
    token = context.attach(baggage.set_baggage("customer", "17"))
    add()
    context.detach(token)
    run_all(huey)
    assert found == ["17"]


def test_a_header_that_is_too_long_is_left_out(instrument, make_huey):
    """The task runs, in the trace of its id."""
    traced = instrument(propagate=True)
    huey = make_huey()
    add = huey.task(name="add")(lambda: 1)
    token = context.attach(baggage.set_baggage("customer", "x" * 8000 + "y" * 500))
    result = add()
    context.detach(token)
    (message,) = huey.storage.enqueued_items()
    assert len(message) < 9000
    run_all(huey)
    assert traced.span("process")["trace"] == trace_id(result.id)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        MAGIC,
        b"\x00\x00\x00\x00" + MAGIC,
        b"\xff\xff\xff\xff" + MAGIC,
        b"{}x\x00\x00\x00\x03" + MAGIC,
        b"[]\x00\x00\x00\x02" + MAGIC,
        b'{"a":1}\x00\x00\x00\x07' + MAGIC,
        b'{"traceparent":"x"}\x00\x00\x00\x13' + MAGIC,
        b"\xff\xfe\x00\x00\x00\x02" + MAGIC,
    ],
)
def test_a_broken_header_is_ignored(instrument, make_huey, header):
    """The task runs, in the trace of its id."""
    traced, huey = instrument(propagate=True), make_huey()
    add = huey.task(name="add")(lambda: 1)
    huey.storage.enqueue(huey.serialize_task(add.s()) + header)
    run_all(huey)
    assert traced.span("process")["parent"] is None


def test_a_message_that_is_serialized_for_another_purpose_has_no_header(instrument, make_huey):
    """Only what Huey puts into the queue or the schedule has one."""
    traced, huey = instrument(propagate=True), make_huey()
    add = huey.task(name="add")(lambda: 1)
    with traced.tracer.start_as_current_span("request"):
        assert MAGIC not in huey.serialize_task(add.s())


def test_a_process_without_propagate_reads_messages_that_have_a_header(instrument, make_huey):
    """As bare Huey does."""
    instrument(propagate=True)
    huey = make_huey()
    add = huey.task(name="add")(lambda: 1)
    add()
    HueyInstrumentor().uninstrument()
    traced = instrument()
    run_all(huey)
    assert traced.span("process")["parent"] is None


def test_a_rescheduled_task_is_found_by_the_kit(instrument, make_huey):
    """Its message has both a header and since when it waits."""
    instrument(propagate=True)
    huey = make_huey()
    install_handlers(huey, preset="reschedule-locks")
    hold(huey, "held")
    task_id = huey.task(name="add")(huey.lock_task("held")(lambda: 1))().id
    run_all(huey)
    (raw,) = huey.storage.scheduled_items()
    assert MAGIC in raw
    assert Reader(huey).message(raw).id == task_id


@pytest.mark.parametrize("propagate", [False, True])
def test_a_task_that_is_scheduled_twice_gets_one_message(
    instrument, make_huey, monkeypatch, propagate
):
    """The kit tries again if an answer was lost; Redis keeps one of two equal messages."""
    traced, huey = instrument(propagate), make_huey("redis")
    install_handlers(huey, preset="reschedule-locks")
    hold(huey, "held")
    schedule, lost = huey.storage.add_to_schedule, []

    def lose_the_first_answer(*args):
        schedule(*args)
        if not lost:
            lost.append(args)
            raise ConnectionError("the answer was lost")

    monkeypatch.setattr(huey.storage, "add_to_schedule", lose_the_first_answer)
    huey.task(name="add")(huey.lock_task("held")(lambda: 1))()
    run_all(huey)
    assert len(lost) == 1
    assert huey.scheduled_count() == 1
    assert [span["name"].split()[0] for span in traced.spans] == ["send", "schedule", "process"]
