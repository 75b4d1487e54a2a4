"""Which sinks ``sinks=`` means."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest
from huey.signals import SIGNAL_COMPLETE

from huey_signals_kit import install_handlers
from tests.support import wait_until

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
from huey_signals_kit.sinks.chosen import read_sinks, sink_name
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
        from huey_signals_kit.sinks.chosen import read_sinks
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
    kit._jobs.drain()
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
