"""SentrySink: what arrives at Sentry, by a transport that keeps it."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from huey_signals_kit import install_handlers
from huey_signals_kit.sinks.sentry import SentrySink, can_count
from tests.selection import slow_except
from tests.sinks.conftest import enqueue
from tests.support import wait_until

needs_count = pytest.mark.skipif(not can_count(), reason="needs a newer sentry-sdk")


class Arrived(Transport):
    """Keeps the metrics that Sentry would get."""

    def __init__(self, options=None):
        super().__init__(options)
        self.items = []

    def capture_envelope(self, envelope):
        for item in envelope.items:
            if item.headers["type"] == "trace_metric":
                self.items += item.payload.json["items"]

    def total(self, name, **attributes):
        """The sum of all counters of that name with these attributes."""
        return sum(
            item["value"]
            for item in self.items
            if item["name"] == name
            and item["type"] == "counter"
            and all(item["attributes"][key]["value"] == value for key, value in attributes.items())
        )


@pytest.fixture
def start_sentry():
    """`start_sentry()`: initialises Sentry; returns the transport. Undone afterwards."""

    def start(**options):
        transport = Arrived()
        sentry_sdk.init(
            "http://k@127.0.0.1/1", transport=transport, default_integrations=False, **options
        )
        return transport

    yield start
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


class Watched(SentrySink):
    """Called often, and keeps what it answered."""

    interval = 0.02

    def __init__(self):
        super().__init__()
        self.answers = []

    def send(self, changes):
        self.answers.append(super().send(changes))
        return self.answers[-1]


@needs_count
def test_what_arrives_adds_up_to_what_the_kit_counts(make_huey, start_sentry, work):
    """However many times something was sent, with the labels as attributes."""
    arrived = start_sentry()
    huey = make_huey()
    sink = Watched()
    kit = install_handlers(huey, sinks=sink)
    for calls in range(1, 4):
        work(huey, done=3, skipped=2, failed=1)
        wait_until(lambda calls=calls: len(sink.answers) >= calls, 10, "another call")
    kit.uninstall()
    sentry_sdk.flush()
    for metric in ("huey_signals_total", "huey_lock_skips_total", "huey_results_suppressed_total"):
        assert arrived.total(metric) == kit.count(metric) > 0
    guarded = {"queue": huey.name, "task": "tests.consumer.app.guarded"}
    assert arrived.total("huey_lock_skips_total", lock="held", **guarded) == 6


@needs_count
def test_durations_arrive_as_their_count_and_sum(make_huey, start_sentry, work):
    """No distribution is made up from buckets."""
    arrived = start_sentry()
    huey = make_huey()
    with install_handlers(huey, sinks="sentry"):
        work(huey, done=3, skipped=2, failed=1)
    sentry_sdk.flush()
    assert arrived.total("huey_task_duration_seconds_count") == 4
    assert 0 < arrived.total("huey_task_duration_seconds_sum") < 4
    seconds = {item.get("unit") for item in arrived.items if item["name"].endswith("seconds_sum")}
    assert seconds == {"second"}


@needs_count
def test_before_sentry_is_initialised_nothing_is_lost(make_huey, start_sentry, work, caplog):
    """It waits, without a word, and arrives once."""
    huey = make_huey()
    sink = Watched()
    kit = install_handlers(huey, sinks=sink)
    work(huey, done=3, skipped=2, failed=1)
    wait_until(lambda: len(sink.answers) >= 3, 10, "three calls")
    assert set(sink.answers) == {False}
    arrived = start_sentry()
    wait_until(lambda: True in sink.answers, 10, "a call with Sentry there")
    kit.uninstall()
    sentry_sdk.flush()
    assert arrived.total("huey_signals_total") == kit.count("huey_signals_total") > 0
    assert kit.count("huey_handler_errors_total") == 0
    assert [each for each in caplog.records if each.name == "huey_signals_kit"] == []


@pytest.mark.parametrize("version", ["2.0.0", "2.43.1"])
def test_a_sentry_that_is_too_old_is_refused(make_huey, monkeypatch, version):
    """With the version that is needed; 2.43 has the function, but drops what it is given."""
    monkeypatch.setattr(sentry_sdk, "VERSION", version)
    with pytest.raises(ImportError, match=rf"needs sentry-sdk>=2\.44, and {version} is installed"):
        install_handlers(make_huey(), sinks="sentry")


@needs_count
@pytest.mark.parametrize("worker", slow_except(["process"], ["process", "thread"]))
def test_the_last_counts_of_a_worker_arrive(consumer_with_sink, worker):
    """Also of one that Huey forked, where Sentry itself would not send them when it ends."""
    with consumer_with_sink("sentry", worker) as (consumer, huey, output):
        enqueue(huey, 60, 30, 10)
        consumer.wait_until(lambda: huey.pending_count() == 0, "an empty queue")
        consumer.stop()
    totals = Counter()
    for line in output.read_text().splitlines():
        for item in json.loads(line):
            totals[item["name"]] += item["value"]
    assert totals["huey_lock_skips_total"] == 30
    assert totals["huey_task_duration_seconds_count"] == 70
