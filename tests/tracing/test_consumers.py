"""Real consumers on Redis: every process writes its spans to one file, where they are a tree."""

from __future__ import annotations

import pytest

from tests.consumer.harness import running_consumer
from tests.support import hold, results
from tests.tracing.app import declare
from tests.tracing.spans import label, read, traces, tree

pytestmark = pytest.mark.slow

BY_LINKS = {
    "request": (
        None,
        {
            "send plain 1",
            "send retried 1",
            "send first 1",
            "schedule later 1",
            "send locked 1",
            "send rescheduled 1",
            "send revoked 1",
        },
    ),
    "send plain 1": (None, {"request", "process plain 1"}),
    "process plain 1": (None, {"send plain 1"}),
    "send retried 1": (None, {"request", "process retried 1"}),
    "process retried 1": (None, {"send retried 1"}),
    "schedule retried 2": ("process retried 1", {"process retried 2"}),
    "send retried 2": (None, {"schedule retried 2", "process retried 2"}),
    "process retried 2": (None, {"schedule retried 2", "send retried 2"}),
    "send first 1": (None, {"request", "process first 1"}),
    "process first 1": (None, {"send first 1", "send second 1"}),
    "send second 1": (None, {"process first 1", "process second 1"}),
    "process second 1": (None, {"send second 1"}),
    "schedule later 1": (None, {"request", "process later 1"}),
    "send later 1": (None, {"schedule later 1", "process later 1"}),
    "process later 1": (None, {"schedule later 1", "send later 1"}),
    "send locked 1": (None, {"request", "process locked 1"}),
    "process locked 1": (None, {"send locked 1"}),
    "send rescheduled 1": (None, {"request", "process rescheduled 1"}),
    "process rescheduled 1": (None, {"send rescheduled 1"}),
    "schedule rescheduled 1": ("process rescheduled 1", {"process rescheduled 1 again"}),
    "send rescheduled 1 again": (None, {"schedule rescheduled 1", "process rescheduled 1 again"}),
    "process rescheduled 1 again": (
        None,
        {"schedule rescheduled 1", "send rescheduled 1 again"},
    ),
    "send revoked 1": (None, {"request", "process revoked 1"}),
    "process revoked 1": (None, {"send revoked 1"}),
}
PARENTS = {
    "request": None,
    "send plain 1": "request",
    "process plain 1": "send plain 1",
    "send retried 1": "request",
    "process retried 1": "send retried 1",
    "schedule retried 2": "process retried 1",
    "send retried 2": "schedule retried 2",
    "process retried 2": "send retried 2",
    "send first 1": "request",
    "process first 1": "send first 1",
    "send second 1": "process first 1",
    "process second 1": "send second 1",
    "schedule later 1": "request",
    "send later 1": "schedule later 1",
    "process later 1": "send later 1",
    "send locked 1": "request",
    "process locked 1": "send locked 1",
    "send rescheduled 1": "request",
    "process rescheduled 1": "send rescheduled 1",
    "schedule rescheduled 1": "process rescheduled 1",
    "send rescheduled 1 again": "schedule rescheduled 1",
    "process rescheduled 1 again": "send rescheduled 1 again",
    "send revoked 1": "request",
    "process revoked 1": "send revoked 1",
}


@pytest.fixture
def spans(tmp_path, monkeypatch):
    """The file to which all processes write their spans."""
    monkeypatch.setenv("HUEY_KIT_TEST_SPANS", str(tmp_path / "spans"))
    return tmp_path / "spans"


@pytest.fixture
def consumer_of(tmp_path):
    """`consumer_of(place, worker)`: a running consumer of `tests.tracing.app`."""

    def run(place, worker):
        options = {"worker": worker, "workers": 2, "install": None, "app": "tests.tracing.app"}
        return running_consumer(place, tmp_path / "log", **options)

    return run


def has(spans, *labels):
    """Whether each of these spans is in the file."""
    found = [label(record) for record in read(spans)]
    return all(found.count(each) >= labels.count(each) for each in labels)


@pytest.mark.parametrize(
    ("worker", "propagate"),
    [("thread", False), ("process", False), ("process", True), ("greenlet", True)],
)
def test_the_spans_of_all_processes_are_the_tree(
    make_place, instrument, spans, monkeypatch, consumer_of, worker, propagate
):
    """Plain, retried, pipeline, scheduled, locked, rescheduled, revoked."""
    monkeypatch.setenv("HUEY_SIGNALS_PROPAGATE", "1" if propagate else "")
    traced = instrument(propagate, path=spans)
    place = make_place("redis")
    huey = place.open()
    tasks = declare(huey)
    hold(huey, "held")
    with consumer_of(place, worker) as consumer:
        with traced.tracer.start_as_current_span("request"):
            revoked = tasks.revoked.s()
            huey.revoke(revoked, revoke_once=True)
            huey.enqueue(revoked)
            tasks.plain()
            tasks.retried()
            huey.enqueue(tasks.first.s().then(tasks.second))
            tasks.later.schedule(delay=1)
            tasks.locked()
            tasks.rescheduled()
        consumer.wait_until(lambda: has(spans, "process rescheduled 1"), "the first skip")
        huey.flush_locks("held")
        last = ["process rescheduled 1"] * 2 + ["process retried 2", "process later 1"]
        consumer.wait_until(lambda: has(spans, *last, "process second 1"), "the tasks")
    records = read(spans)
    if propagate:
        assert {each: parent for each, (parent, _) in tree(records).items()} == PARENTS
        assert len(traces(records)) == 1
    else:
        assert tree(records) == BY_LINKS
        assert len(traces(records)) == 9
    assert len({record["pid"] for record in records}) > 1


@pytest.mark.parametrize(("worker", "propagate"), [("process", False), ("thread", True)])
def test_a_chord_in_real_consumers(
    make_place, instrument, spans, monkeypatch, consumer_of, worker, propagate
):
    """The part that ends last sends the callback."""
    chord = pytest.importorskip("huey.api").__dict__.get("chord")
    if chord is None:
        pytest.skip("chords came with Huey 3")
    monkeypatch.setenv("HUEY_SIGNALS_PROPAGATE", "1" if propagate else "")
    traced = instrument(propagate, path=spans)
    place = make_place("redis")
    huey = place.open()
    tasks = declare(huey)
    with traced.tracer.start_as_current_span("request"):
        huey.enqueue(chord([tasks.plain.s(), tasks.first.s()], tasks.total.s()))
    with consumer_of(place, worker) as consumer:
        consumer.wait_until(lambda: has(spans, "process total 1"), "the callback")
    found = tree(read(spans))
    parts = {"process plain 1", "process first 1"}
    if propagate:
        assert found["send total 1"][0] in parts
        assert found["process total 1"][0] == "send total 1"
        assert {found["send plain 1"][0], found["send first 1"][0]} == {"request"}
        assert len(traces(read(spans))) == 1
    else:
        assert found["process plain 1"] == (None, {"send plain 1", "send total 1"})
        assert found["process first 1"] == (None, {"send first 1", "send total 1"})
        sender = found["send total 1"][1] & parts
        assert len(sender) == 1
        assert found["send total 1"] == (None, {"process total 1"} | sender)
        assert found["process total 1"] == (None, {"send total 1"})


def test_a_timeout_in_a_real_consumer(make_place, instrument, spans, consumer_of):
    """It is an error of the attempt."""
    instrument(path=spans)
    place = make_place("redis")
    tasks = declare(place.open())
    if not hasattr(tasks, "slow"):
        pytest.skip("timeouts came with Huey 3")
    tasks.slow()
    with consumer_of(place, "process") as consumer:
        consumer.wait_until(lambda: has(spans, "process slow 1"), "the timeout")
    send, process = read(spans)
    assert tree([send, process]) == {
        "send slow 1": (None, {"process slow 1"}),
        "process slow 1": (None, {"send slow 1"}),
    }
    assert process["status"] == "ERROR"
    assert process["attributes"]["error.type"] == "huey.exceptions.TaskTimeout"


@pytest.mark.parametrize(("worker", "propagate"), [("process", False), ("thread", True)])
def test_of_a_killed_worker_the_producers_span_is_left(
    make_place, instrument, spans, monkeypatch, consumer_of, tmp_path, worker, propagate
):
    """It has a link to a span that was never exported; every parent was."""
    monkeypatch.setenv("HUEY_SIGNALS_PROPAGATE", "1" if propagate else "")
    instrument(propagate, path=spans)
    place = make_place("redis")
    huey = place.open()
    tasks = declare(huey)
    tasks.forever(str(tmp_path))
    with consumer_of(place, worker) as consumer:
        consumer.wait_until((tmp_path / "started").exists, "the task to run")
        consumer.kill()
    with consumer_of(place, worker) as consumer:
        last = tasks.done().id
        consumer.wait_until(lambda: results(huey).get(last), "a task after that")
    found = tree(read(spans))
    assert found.keys() == {"send forever 1", "send done 1", "process done 1"}
    assert "missing" not in {parent for parent, _ in found.values()}
    assert found["send forever 1"] == (None, set() if propagate else {"missing"})


def test_spans_that_wait_for_their_export_are_exported_at_the_end(
    make_place, instrument, spans, monkeypatch, consumer_of
):
    """Forked workers run no `atexit`."""
    monkeypatch.setenv("HUEY_KIT_TEST_BATCH", "1")
    instrument(path=spans)
    place = make_place("redis")
    huey = place.open()
    tasks = declare(huey)
    with consumer_of(place, "process") as consumer:
        last = [tasks.done().id for _ in range(10)]
        consumer.wait_until(lambda: set(last) <= results(huey).keys(), "the tasks")
        assert not has(spans, "process done 1")
    assert len([r for r in read(spans) if r["name"].startswith("process")]) == 10


def test_a_hanging_exporter_does_not_delay_the_stop_of_worker_processes(
    make_place, instrument, spans, monkeypatch, consumer_of
):
    """The spans that wait for their export are lost, and the log says so."""
    monkeypatch.setenv("HUEY_KIT_TEST_BATCH", "hangs")
    instrument(path=spans)
    place = make_place("redis")
    huey = place.open()
    tasks = declare(huey)
    with consumer_of(place, "process") as consumer:
        last = tasks.done().id
        consumer.wait_until(lambda: results(huey).get(last), "the task")
        consumer.stop()
    assert "last spans takes longer" in consumer.log.read_text()
