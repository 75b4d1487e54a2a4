"""OpenTelemetrySink: what the SDK's readers observe."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from importlib.metadata import version

import pytest
from huey.signals import SIGNAL_COMPLETE

from huey_signals_kit import install_handlers
from tests.selection import slow_except
from tests.sinks.conftest import enqueue

pytest.importorskip("opentelemetry.sdk.metrics")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from huey_signals_kit.metrics.names import BOUNDS, LABELS
from huey_signals_kit.sinks.opentelemetry import OpenTelemetrySink


class Observed:
    """What a reader collects, as (name, attributes, value)."""

    def __init__(self, reader):
        data = reader.get_metrics_data()
        scopes = [] if data is None else [s for r in data.resource_metrics for s in r.scope_metrics]
        self.scopes = [scope.scope for scope in scopes]
        self.metrics = [metric for scope in scopes for metric in scope.metrics]
        self.points = [
            (metric.name, dict(point.attributes), point.value)
            for metric in self.metrics
            for point in metric.data.data_points
        ]

    def total(self, name, **attributes):
        return sum(
            value
            for each, given, value in self.points
            if each == name and attributes.items() <= given.items()
        )


@pytest.fixture
def reader():
    """A reader that collects when it is asked."""
    return InMemoryMetricReader()


@pytest.fixture
def provider(reader):
    """The SDK's provider with that reader; its warnings fail the test."""
    provider = MeterProvider([reader])
    yield provider
    provider.shutdown()


@pytest.fixture(autouse=True)
def _sdk_has_nothing_to_say(caplog):
    yield
    said = [each.getMessage() for each in caplog.records if "opentelemetry" in each.name]
    assert said == []


def test_a_reader_sees_what_the_kit_counts(make_huey, provider, reader, work):
    """Every counter, with the labels as attributes, the queue as OpenTelemetry calls it."""
    huey = make_huey()
    kit = install_handlers(huey, sinks=OpenTelemetrySink(provider))
    work(huey, done=3, skipped=2, failed=1)
    seen = Observed(reader)
    assert {scope.version for scope in seen.scopes} == {version("huey-signals-kit")}
    for metric in LABELS.keys() - {"huey_task_duration_seconds"}:
        assert seen.total(metric) == kit.count(metric)
    assert (
        seen.total("huey_task_duration_seconds_count")
        == kit.count("huey_task_duration_seconds")
        == 4
    )
    skips = [(given, value) for name, given, value in seen.points if name.endswith("skips_total")]
    expected = {
        "messaging.system": "huey",
        "messaging.destination.name": huey.name,
        "task": "tests.consumer.app.guarded",
        "lock": "held",
    }
    assert skips == [(expected, 2)]


def test_counters_only_rise(make_huey, provider, reader, work):
    """Each is a monotonic sum; durations are in seconds."""
    huey = make_huey()
    install_handlers(huey, sinks=OpenTelemetrySink(provider))
    work(huey)
    metrics = Observed(reader).metrics
    assert all(metric.data.is_monotonic for metric in metrics)
    assert {m.unit for m in metrics if m.name == "huey_task_duration_seconds_sum"} == {"s"}


def test_durations_come_as_the_counters_of_a_histogram(make_huey, provider, reader, work):
    """Each bucket has all that were not longer, the last one all."""
    huey = make_huey()
    install_handlers(huey, sinks=OpenTelemetrySink(provider))
    work(huey, done=5, skipped=1, failed=0)
    seen = Observed(reader)
    buckets = [
        (float(given["le"]), value)
        for name, given, value in seen.points
        if name == "huey_task_duration_seconds_bucket"
    ]
    assert sorted(buckets)[-1] == (float("inf"), 5)
    assert [bound for bound, _ in sorted(buckets)] == [*BOUNDS, float("inf")]
    values = [value for _, value in sorted(buckets)]
    assert values == sorted(values)
    assert 0 < seen.total("huey_task_duration_seconds_sum") < 5


def test_two_hueys_share_the_instruments(make_huey, provider, reader, work):
    """Also two of one name, whose counts are summed."""
    names = ("one", "same", "same")
    for times, name in enumerate(names, start=1):
        huey = make_huey(name=name)
        install_handlers(huey, sinks=OpenTelemetrySink(provider))
        work(huey, done=times)
    seen = Observed(reader)
    complete = {"signal": SIGNAL_COMPLETE}
    assert seen.total("huey_signals_total", **complete) == 6
    assert (
        seen.total("huey_signals_total", **{"messaging.destination.name": "same"}, **complete) == 5
    )


def test_uninstalled_nothing_is_observed(make_huey, provider, reader, work):
    """Though the API cannot take an instrument back."""
    huey = make_huey()
    with install_handlers(huey, sinks=OpenTelemetrySink(provider)):
        work(huey)
        assert Observed(reader).points
    assert Observed(reader).points == []


def test_installed_again_the_counters_go_on(make_huey, provider, reader, work):
    """The instruments are the same, and one that went back would be no counter."""
    huey = make_huey()
    seen = []
    for _ in range(2):
        with install_handlers(huey, sinks=OpenTelemetrySink(provider)):
            work(huey, done=3)
            seen.append(Observed(reader).total("huey_signals_total", signal=SIGNAL_COMPLETE))
    assert seen == [3, 6]


def test_two_providers_see_each_their_own(make_huey, provider, reader, work):
    """What one kit shows to one, the other does not get."""
    other_reader = InMemoryMetricReader()
    other = MeterProvider([other_reader])
    for each, times in ((provider, 1), (other, 2)):
        huey = make_huey()
        install_handlers(huey, sinks=OpenTelemetrySink(each))
        work(huey, done=times)
    complete = {"signal": SIGNAL_COMPLETE}
    seen = [
        Observed(each).total("huey_signals_total", **complete) for each in (reader, other_reader)
    ]
    other.shutdown()
    assert seen == [1, 2]


@pytest.mark.parametrize("given", ["global", MeterProvider, object()])
def test_what_is_no_provider_is_refused(given):
    """With its value."""
    with pytest.raises(TypeError, match=r"meter_provider= .* takes an opentelemetry"):
        OpenTelemetrySink(given)


PRELUDE = """
    import logging, os
    from huey import MemoryHuey
    from opentelemetry.metrics import set_meter_provider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from huey_signals_kit import install_handlers, uninstall_handlers
    from huey_signals_kit.sinks.opentelemetry import OpenTelemetrySink

    logging.basicConfig()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    hueys = [MemoryHuey("one"), MemoryHuey("two")]

    tasks = {huey: huey.task(name="ordinary")(lambda: None) for huey in hueys}

    def do(huey, times):
        for _ in range(times):
            tasks[huey]()
            huey.execute(huey.dequeue())

    def seen():
        data = reader.get_metrics_data()
        return [] if data is None else sorted(
            (point.attributes["messaging.destination.name"], point.value)
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
            if metric.name == "huey_signals_total"
            for point in metric.data.data_points
            if point.attributes["signal"] == "complete"
        )
"""


def run_script(script):
    """Runs it; the SDK must have nothing to say."""
    command = [sys.executable, "-u", "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(script)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_an_sdk_that_is_set_up_later_sees_it_all():
    """What was counted before as well, and kits that come after, by name or by provider."""
    script = """
        install_handlers(hueys[0], sinks="opentelemetry")
        do(hueys[0], 3)
        set_meter_provider(provider)
        print(seen())
        install_handlers(hueys[1], sinks="opentelemetry")
        do(hueys[1], 4)
        print(seen())
        uninstall_handlers(hueys[1])
        install_handlers(hueys[1], sinks=OpenTelemetrySink(provider))
        do(hueys[1], 1)
        print(seen())
        uninstall_handlers(hueys[0])
        uninstall_handlers(hueys[1])
        print(seen())
    """
    expected = [
        "[('one', 3)]",
        "[('one', 3), ('two', 4)]",
        "[('one', 3), ('two', 5)]",
        "[]",
    ]
    assert run_script(script) == expected


def test_a_forked_child_observes_its_own_counts():
    """Not what its parent had counted, running or stopped."""
    script = """
        for huey in hueys:
            install_handlers(huey, sinks=OpenTelemetrySink(provider))
            do(huey, 3)
        uninstall_handlers(hueys[1])
        if os.fork() == 0:
            do(hueys[0], 2)
            print(seen())
            os._exit(0)
        os.wait()
        print(seen())
    """
    assert run_script(script) == ["[('one', 2)]", "[('one', 3), ('two', 3)]"]


@pytest.mark.parametrize("worker", slow_except(["process"], ["process", "thread"]))
def test_the_last_counts_of_a_worker_are_exported(consumer_with_sink, worker):
    """Also of one that Huey forked, where the SDK itself would not export when it ends."""
    with consumer_with_sink("opentelemetry", worker) as (consumer, huey, output):
        enqueue(huey, 60, 30, 10)
        consumer.wait_until(lambda: huey.pending_count() == 0, "an empty queue")
        consumer.stop()
    totals: dict[tuple[int, str, str], int] = {}
    for line in output.read_text().splitlines():
        exported = json.loads(line)
        for metric in exported["metrics"]["resource_metrics"][0]["scope_metrics"][0]["metrics"]:
            for point in metric["data"]["data_points"]:
                series = json.dumps(point["attributes"], sort_keys=True)
                totals[exported["pid"], metric["name"], series] = point["value"]
    skips = sum(value for (_, name, _), value in totals.items() if name.endswith("skips_total"))
    timed = sum(value for (_, name, _), value in totals.items() if name.endswith("seconds_count"))
    assert (skips, timed) == (30, 70)


def test_what_can_be_known_is_observed_at_zero_before_it_is_counted(make_huey, provider, reader):
    """As in Prometheus: a backend sees the first count as an increase."""
    huey = make_huey()
    install_handlers(huey, sinks=OpenTelemetrySink(provider))
    huey.task(name="pay")(huey.lock_task("import")(lambda: None))
    queue = {"messaging.system": "huey", "messaging.destination.name": huey.name}
    points = Observed(reader).points
    task = f"{__name__}.pay"
    assert ("huey_signals_total", {**queue, "task": task, "signal": "error"}, 0) in points
    assert ("huey_lock_refusals_total", {**queue, "lock": "import"}, 0) in points
    assert {value for _, _, value in points} == {0}
