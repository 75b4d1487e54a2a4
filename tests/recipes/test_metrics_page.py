"""``recipes/metrics.md`` has every metric of a real scrape, and no other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("prometheus_client", exc_type=ImportError)

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from huey_signals_kit import install_handlers
from huey_signals_kit.cli._export.collector import QueueCollector
from huey_signals_kit.huey_internals.facts import SIGNALS
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.metrics.gauges import STATES, TOKEN_STATES, WORKERS
from huey_signals_kit.metrics.labels import MAX_LABELS
from huey_signals_kit.metrics.names import LABELS, TASK_SECONDS
from huey_signals_kit.metrics.values import Durations
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.sinks.prometheus import PrometheusSink
from huey_signals_kit.store.keys import Kind
from tests.grafana.servers import promtool as running_promtool
from tests.recipes.commands import commands_in, parse
from tests.servers import served

PAGE = (Path(__file__).parents[2] / "recipes" / "metrics.md").read_text()
COUNTED = {
    (name, *("x" for _ in labels)): Durations(1, 0.1, (1, *[0] * 13)) if name == TASK_SECONDS else 1
    for name, labels in LABELS.items()
}
"""One of each counter."""


def rows():
    """Return the rows of the table of metrics: name, type, labels, where, how old."""
    lines = re.findall(r"^\| (`huey_\w+` \|.*) \|$", PAGE.partition("## All metrics")[2], re.M)
    cells = (map(str.strip, line.split("|")) for line in lines)
    return [
        (name.strip("`"), kind, set(re.findall(r"\w+", labels)), *rest)
        for name, kind, labels, *rest in cells
    ]


def shown(registry):
    """Return {name: (type, labels beside the queue)} of a scrape."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        labels = {label for sample in family.samples for label in sample.labels}
        name = family.name + "_total" * (family.type == "counter")
        found[name] = family.type, labels - {"queue", "le"}
    return found


@pytest.fixture
def export(make_huey):
    """The registry of `huey-signals export` of a queue where one of each was counted."""
    huey = make_huey("sqlite")
    open_ledger(huey).write(Heartbeat("one", this_process(), "thread", 5.0, counters=COUNTED))
    collector, registry = QueueCollector(huey, 60, lambda *_: None), CollectorRegistry()
    collector.complete_report()
    registry.register(collector)
    return registry


def test_the_table_has_what_export_serves(export):
    """Each with its type and its labels."""
    assert {name: (kind, labels) for name, kind, labels, *_ in rows()} == shown(export)


def test_the_table_says_what_a_consumer_serves(make_huey):
    """Those that the sink for Prometheus shows, in the same form."""
    registry = CollectorRegistry()
    with install_handlers(make_huey(), sinks=PrometheusSink(registry)) as kit:
        for metric, *labels in COUNTED:
            if metric != TASK_SECONDS:
                kit._counter.add((metric, *labels[1:]))
        kit._counter.attempts.completed["x"].append(0.1)
        found = shown(registry)
    assert {
        name: (kind, labels) for name, kind, labels, where, _ in rows() if where == "both"
    } == found


def test_what_is_as_of_a_report_is_not_served_before_it(make_huey, monkeypatch):
    """The other gauges are."""
    monkeypatch.setattr("huey_signals_kit.cli._export.collector.SCRAPE_SECONDS", 0)
    collector = QueueCollector(make_huey("sqlite"), 60, lambda *_: None)
    monkeypatch.setattr(collector._reports, "request", lambda: None)
    names = {family.name for family in collector.collect()}
    gauges = {name: age for name, kind, _, _, age in rows() if kind == "gauge"}
    locks = {name for name in gauges if "lock" in name}  # found by the first report
    assert names & gauges.keys() == {name for name in gauges if gauges[name] != "report"} - locks


def test_the_bounds_of_labels(export):
    """Are those of the code."""
    table = dict(re.findall(r"^\| (`\w.*?) \| (.*) \|$", PAGE.partition("## How many")[2], re.M))
    assert table["`signal`"].startswith(f"{len(SIGNALS)},")
    assert table["`lock`"].startswith(f"at most {MAX_LABELS}, and `other`")
    assert table["`kind`"] == f"at most {len(Kind)}"
    workers = ", ".join(f"`{each}`" for each in (*WORKERS, "other"))
    assert table["`worker`, `state`"] == f"{workers}, each `alive`, `dead` or `unknown`"
    assert STATES == ("alive", "dead", "unknown")
    assert table["`state` of tokens"] == ", ".join(f"`{each}`" for each in TOKEN_STATES)


@pytest.mark.parametrize("words", commands_in(PAGE), ids=" ".join)
def test_each_command_of_the_page_exists(words):
    """With these options."""
    parse(words)


@pytest.fixture(scope="session")
def promtool():
    """The path of promtool."""
    yield from served(running_promtool)


def test_promtool_finds_nothing_to_say_of_an_export(promtool, export):
    """Neither of names nor of help or types."""
    ran = subprocess.run(
        [promtool, "check", "metrics"], input=generate_latest(export), capture_output=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_an_export_is_valid_openmetrics(export):
    """Which Prometheus asks for; there no two metrics may share the beginning of their names."""
    names = [family.name for family in parse_openmetrics(generate_openmetrics(export).decode())]
    assert {"huey_signals", "huey_signals_info"} <= set(names)
    assert len(names) == len(set(names)) == len(rows())
