"""The alert rules of ``recipes/grafana/``, their runbooks, and the metrics that they name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("prometheus_client", exc_type=ImportError)

from prometheus_client import CollectorRegistry, generate_latest

from huey_signals_kit.cli._export.collector import QueueCollector
from tests.grafana import servers
from tests.grafana.dashboard import PATH as DASHBOARD
from tests.recipes.commands import commands_in, parse
from tests.servers import served

HERE = Path(__file__).parent
RECIPES = HERE.parents[1] / "recipes"
RULES = RECIPES / "grafana" / "alerts.yml"
RUNBOOKS = RECIPES / "grafana" / "runbooks.md"
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE)


@pytest.fixture(scope="session")
def promtool():
    """The path of promtool."""
    yield from served(servers.promtool)


def run(*command):
    """Run a command; return its exit code and what it prints."""
    ran = subprocess.run(command, capture_output=True, text=True)
    return ran.returncode, ran.stdout + ran.stderr


def test_prometheus_reads_the_rules(promtool):
    """With no warning."""
    code, printed = run(promtool, "check", "rules", RULES)
    assert (code, f"SUCCESS: {len(ALERTS)} rules found" in printed) == (0, True), printed


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_resolves(promtool):
    """Over minutes, hours and days, with its labels and texts."""
    tests = sorted(HERE.glob("*_test.yml"))
    code, printed = run(promtool, "test", "rules", *tests)
    assert code == 0, printed
    tested = set(re.findall("Huey[A-Z][A-Za-z]+", "".join(path.read_text() for path in tests)))
    assert tested == set(ALERTS)


def test_each_alert_has_a_section_in_the_runbooks():
    """In the order of the rules, at the anchor that the alert names."""
    sections = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    anchors = re.findall(r"runbook_url: \S+/recipes/grafana/runbooks\.md#(\w+)$", *rules())
    assert sections == ALERTS
    assert anchors == [name.lower() for name in ALERTS]
    for word in ("for", "severity", "summary", "description"):
        assert len(re.findall(rf"^ +{word}: \S", *rules())) == len(ALERTS)


def rules():
    """The text of the rules, and how to search its lines."""
    return RULES.read_text(), re.MULTILINE


@pytest.mark.parametrize("words", commands_in(RUNBOOKS.read_text()), ids=" ".join)
def test_each_command_of_the_runbooks_exists(words):
    """With these options."""
    parse(words)


@pytest.mark.parametrize(
    "words", [["lock", "q.huey"], ["locks", "free", "q.huey"], ["sweep", "q.huey", "--aply"]]
)
def test_a_command_that_does_not_exist_is_found(words):
    """So is an option."""
    with pytest.raises(Exception, match=r"No such (command|option)|unexpected extra arg"):
        parse(words)


def test_every_metric_of_the_rules_and_the_dashboard_is_exported(make_huey):
    """By `huey-signals export`, for a queue that has just been created."""
    collector = QueueCollector(make_huey("sqlite"), 60, lambda *_: None)
    collector.complete_report()
    registry = CollectorRegistry()
    registry.register(collector)
    types = re.findall(r"^# TYPE (\w+) (\w+)$", generate_latest(registry).decode(), re.MULTILINE)
    parts = ("_bucket", "_count", "_sum")
    exported = {name for name, _ in types}
    exported |= {name + part for name, kind in types if kind == "histogram" for part in parts}
    named = set(re.findall(r"\bhuey_\w+", RULES.read_text() + DASHBOARD.read_text()))
    named -= {"huey_version"}  # a label
    assert named - exported == set()
