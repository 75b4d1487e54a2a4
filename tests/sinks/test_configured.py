"""Which sinks ``sinks=`` means."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from importlib.util import find_spec

import pytest
from huey.signals import SIGNAL_COMPLETE

from huey_signals_kit import get_kit, install_handlers
from huey_signals_kit.runtime import scheduler as scheduler_module
from tests.support import HAS_ENQUEUED, run_all, wait_until

PROMETHEUS = "import prometheus_client"
OPENTELEMETRY = """
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
set_meter_provider(MeterProvider())
"""
SENTRY = """
import sentry_sdk
sentry_sdk.init("http://k@127.0.0.1/1", default_integrations=False)
"""
NO_OP = """
from opentelemetry.metrics import NoOpMeterProvider, set_meter_provider
set_meter_provider(NoOpMeterProvider())
"""
OWN_PROVIDER = """
import sys, types
from opentelemetry import metrics
own = types.ModuleType("own.metrics.provider")
class Provider(metrics.NoOpMeterProvider):
    __module__ = "own.metrics.provider"
metrics.set_meter_provider(Provider())
"""
NONE_INSTALLED = """
import sys
for name in ("prometheus_client", "opentelemetry", "opentelemetry.metrics", "sentry_sdk"):
    sys.modules[name] = None
"""


def python(script):
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


def counts_for_sentry():
    pytest.importorskip("sentry_sdk")
    from huey_signals_kit.sinks.sentry import can_count

    return can_count()


@pytest.mark.parametrize(
    ("set_up", "picked"),
    [
        ("", []),
        (NONE_INSTALLED, []),
        (PROMETHEUS, ["prometheus"]),
        ("import opentelemetry.metrics", []),
        ("import opentelemetry.sdk.metrics", []),
        (NO_OP, []),
        (OPENTELEMETRY, ["opentelemetry"]),
        (OWN_PROVIDER, ["opentelemetry"]),
        ("import sentry_sdk", []),
        (SENTRY, ["sentry"]),
        (PROMETHEUS + OPENTELEMETRY + SENTRY, ["prometheus", "opentelemetry", "sentry"]),
    ],
    ids=[
        "nothing",
        "nothing installed",
        "prometheus",
        "opentelemetry's api",
        "opentelemetry's sdk, not set",
        "opentelemetry set to do nothing",
        "opentelemetry",
        "another opentelemetry",
        "sentry, not initialised",
        "sentry",
        "all",
    ],
)
def test_auto_picks_what_is_set_up(set_up, picked):
    """Exactly that: what is merely installed, or imported and idle, is not."""
    for package in ("prometheus_client", "opentelemetry", "sentry_sdk"):
        if package in set_up and set_up != NONE_INSTALLED and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if "sentry" in picked and not counts_for_sentry():
        picked = [each for each in picked if each != "sentry"]
    script = f"""
{set_up}
from huey_signals_kit.sinks.configured import read_sinks, sink_name
print(*map(sink_name, read_sinks(("auto",))))
"""
    assert python(script) == picked


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("prometheus", "prometheus_client"),
        ("opentelemetry", "opentelemetry"),
        ("sentry", "sentry_sdk"),
    ],
)
def test_a_sink_whose_package_is_missing_says_what_to_install(name, package):
    """The extra's name; the Huey stays without a kit."""
    script = f"""
        import sys
        sys.modules[{package!r}] = None
        from huey import MemoryHuey
        from huey_signals_kit import get_kit, install_handlers

        huey = MemoryHuey("x")
        try:
            install_handlers(huey, sinks={name!r})
        except ModuleNotFoundError as exc:
            print(str(exc).replace(" ", "_"), get_kit(huey))
    """
    text = f"the sink {name!r} needs {package}, which is not installed: "
    text += f"pip install 'huey-signals-kit[{name}]'"
    assert python(textwrap.dedent(script)) == [text.replace(" ", "_"), "None"]


def test_a_package_that_is_broken_is_not_called_missing(tmp_path, monkeypatch):
    """What it fails to import is named instead."""
    (tmp_path / "prometheus_client.py").write_text("import no_such_module")
    script = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from huey_signals_kit.sinks.configured import read_sinks
        try:
            read_sinks(("prometheus",))
        except ModuleNotFoundError as exc:
            print(exc.name)
    """
    assert python(textwrap.dedent(script)) == ["no_such_module"]


class Own:
    """A user's sink; whether a call is taken is up to ``answer``."""

    interval = 0.02

    def __init__(self, answer=None):
        self.answer = answer
        self.calls = []

    def send(self, changes):
        self.calls.append(
            sum(c.value for c in changes if c.labels.get("signal") == SIGNAL_COMPLETE)
        )
        return self.answer


def test_a_sink_that_answers_false_is_given_it_all_again(make_huey, work):
    """With what has come since, until it takes it; None, or nothing, means taken."""
    sink = Own(answer=False)
    huey = make_huey()
    kit = install_handlers(huey, sinks=sink)
    work(huey, done=3)
    wait_until(lambda: sink.calls[-2:] == [3, 3], 10, "the same twice")
    work(huey, done=1)
    wait_until(lambda: sink.calls[-1] == 4, 10, "the sum")
    sink.answer = None
    kit._jobs.flush()
    taken = len(sink.calls)
    work(huey, done=2)
    kit.uninstall()
    assert sum(sink.calls[taken:]) == 2
    assert kit.count("huey_handler_errors_total") == 0


def test_a_sink_of_ones_own_may_have_start_and_stop(make_huey, work):
    """These are its own business: changes are sent to it."""

    class Started(Own):
        started = False

        def start(self, *_):
            self.started = True

        stop = start

    sink = Started()
    huey = make_huey()
    with install_handlers(huey, sinks=sink):
        work(huey, done=3)
    assert (sum(sink.calls), sink.started) == (3, False)


class Keeps:
    """Remembers what it was sent."""

    interval = 3600

    def __init__(self):
        self.taken = []

    def send(self, changes):
        self.taken += changes


class Down:
    """Takes nothing."""

    interval = 3600

    def send(self, changes):
        raise OSError("the collector is down")


def completed(sink):
    return sum(each.value for each in sink.taken if each.labels.get("signal") == SIGNAL_COMPLETE)


def test_a_sink_that_is_named_twice_is_sent_everything_once(make_huey, work):
    """Though it is in the list twice."""
    huey, own = make_huey(), Keeps()
    with install_handlers(huey, sinks=[own, "memory", own, "memory"]):
        work(huey, done=3)
    assert completed(own) == 3


def test_a_registry_that_is_named_twice_shows_everything_once():
    """By ``"auto"``, by name, and as an object."""
    pytest.importorskip("prometheus_client")
    assert python(
        PROMETHEUS
        + """
from huey import MemoryHuey
from huey_signals_kit import install_handlers
from huey_signals_kit.sinks.prometheus import PrometheusSink
huey = MemoryHuey("x")
install_handlers(huey, sinks=["auto", "prometheus", PrometheusSink()])
huey.task(name="t")(lambda: 1)()
huey.execute(huey.dequeue())
print(prometheus_client.REGISTRY.get_sample_value(
    "huey_signals_total", {"queue": "x", "task": "__main__.t", "signal": "complete"}))
"""
    ) == ["1"]


def test_a_sink_that_is_down_costs_the_others_nothing(make_huey, work, monkeypatch):
    """Not at the end either, when it is tried again and again."""
    monkeypatch.setattr(scheduler_module, "END_SECONDS", 0.5)
    huey, own = make_huey(), Keeps()
    with install_handlers(huey, sinks=[Down(), own]):
        work(huey, done=3)
    assert completed(own) == 3


def test_a_sink_that_hangs_holds_up_no_other_job(make_huey, work):
    """Neither another sink, nor what the kit itself has on the tick."""
    release = threading.Event()

    class Hangs:
        interval = 0.01

        def send(self, changes):
            release.wait(60)

    huey, own = make_huey(), Keeps()
    own.interval = 0.01
    try:
        with install_handlers(huey, sinks=[Hangs(), own]):
            work(huey, done=3)
            wait_until(lambda: completed(own) == 3, 10, "the other sink")
            release.set()
    finally:
        release.set()


class Timeout(BaseException):
    """As gevent's, which is no Exception."""


def test_a_sink_that_times_out_is_asked_again(make_huey, work):
    """Whatever it raises, the tick goes on."""
    calls = []

    class TimesOut:
        interval = 0.01

        def send(self, changes):
            calls.append(changes)
            if len(calls) < 3:
                raise Timeout

    huey = make_huey()
    with install_handlers(huey, sinks=[TimesOut()]) as kit:
        work(huey, done=3)
        wait_until(lambda: len(calls) >= 3, 10, "three calls")
        assert kit.count("huey_handler_errors_total") >= 2


@pytest.mark.skipif(not HAS_ENQUEUED, reason="this Huey does not say so")
def test_a_process_that_only_enqueues_sends_its_counts_too(make_huey):
    """As a web application, which runs no task."""
    huey, own = make_huey(), Keeps()
    own.interval = 0.01
    with install_handlers(huey, sinks=[own]):
        huey.task()(lambda: 1)()
        wait_until(lambda: own.taken, 10, "the first sending")


def test_a_failed_replacement_leaves_the_kit_that_was_there(make_huey, work):
    """What refuses to start does so before anything is taken out."""
    pytest.importorskip("prometheus_client")
    from prometheus_client import CollectorRegistry, Counter

    from huey_signals_kit.sinks.prometheus import PrometheusSink

    registry = CollectorRegistry()
    Counter("huey_signals", "Somebody else's.", registry=registry)
    huey, own = make_huey(), Keeps()
    kit = install_handlers(huey, sinks=[own])
    jobs = scheduler_module.scheduler.jobs
    with pytest.raises(ValueError, match="huey_signals"):
        install_handlers(huey, sinks=[PrometheusSink(registry)], replace=True)
    assert get_kit(huey) is kit
    assert scheduler_module.scheduler.jobs == jobs
    work(huey, done=3)
    kit.uninstall()
    assert completed(own) == 3


def test_the_name_of_a_queue_may_be_bytes(make_huey):
    """And is shown as the text that it is."""
    huey = make_huey()
    huey.name = b"shop"
    kit = install_handlers(huey, sinks="memory")
    huey.task()(lambda: 1)()
    run_all(huey)
    assert {key[1] for key in kit._counter.totals()} == {"shop"}
    assert kit.count("huey_signals_total", signal="complete", queue="shop") == 1


def two(self, first, second):
    """Takes too much."""


async def coroutine(self, changes):
    """Would never run."""


def generator(self, changes):
    """Would never run."""
    yield


@pytest.mark.parametrize("send", [two, lambda self: None, coroutine, generator])
def test_a_send_that_could_take_nothing_is_refused(make_huey, send):
    """By name, when it is given, not when the first counts are lost."""
    sink = type("Wrong", (), {"send": send})()
    with pytest.raises(TypeError, match=r"send of the sink .*Wrong"):
        install_handlers(make_huey(), sinks=sink)


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), 10**400])
def test_an_interval_that_is_none_is_refused(make_huey, interval):
    """It has to be a number of seconds above 0."""
    sink = Keeps()
    sink.interval = interval
    with pytest.raises(ValueError, match=r"interval of the sink .*Keeps takes seconds above 0"):
        install_handlers(make_huey(), sinks=sink)
