"""The dashboard of ``recipes/grafana/``, as far as it can be judged without Grafana.

It was also checked against the JSON schemas of grafana-foundation-sdk 0.0.18: dashboard, the
options of each kind of panel, and the queries of Prometheus.
"""

from __future__ import annotations

import json
import re
from itertools import combinations

import pytest

from huey_signals_kit.huey_internals.facts import SIGNALS
from tests.grafana import dashboard
from tests.grafana.queries import DASHBOARD, panels, queries
from tests.grafana.test_rules import promtool, run  # noqa: F401

CONTENT = json.loads(DASHBOARD.read_text())


def test_the_file_is_what_the_script_writes():
    """After a change: ``python -m tests.grafana.dashboard``."""
    assert DASHBOARD.read_text() == dashboard.text()


def test_no_two_panels_overlap():
    """Each is within 24 columns, and has a number of its own."""
    places = [panel["gridPos"] for panel in CONTENT["panels"]]
    assert all(0 <= place["x"] <= 24 - place["w"] for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    numbers = [panel["id"] for panel in CONTENT["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_each_line_of_panels_is_full():
    """There are no holes: the panels cover all columns from the top to the end."""
    places = [panel["gridPos"] for panel in CONTENT["panels"]]
    end = max(place["y"] + place["h"] for place in places)
    assert sum(place["w"] * place["h"] for place in places) == 24 * end


def test_the_rows():
    """They have titles, and panels below them."""
    kinds = "".join("r" if panel["type"] == "row" else "p" for panel in CONTENT["panels"])
    rows = [panel["title"] for panel in CONTENT["panels"] if panel["type"] == "row"]
    assert rows == ["Overview", "Tasks", "Locks", "Store", "Consumers"]
    assert re.fullmatch("(rp+){5}", kinds)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_can_be_read_without_the_manual(panel):
    """It has a description, the chosen source of data, and the unit of what it shows."""
    assert panel["description"].endswith(".")
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == source
    assert all(target["datasource"] == source for target in panel["targets"])
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))
    unit = panel["fieldConfig"]["defaults"].get("unit")
    for target in panel["targets"]:
        expr = target["expr"]
        if panel["type"] == "table":
            continue
        if expr.startswith(("60 * ", "topk(10, 60 * ")):
            assert unit == "suffix:/min"
        elif "seconds_sum" in expr and "seconds_count" not in expr:
            assert unit == "short"  # seconds per second: workers
        elif "seconds" in expr:
            assert unit == "s"
        elif "bytes" in expr:
            assert unit == "bytes"
        else:
            assert unit == "short"


def test_each_variable_is_used_and_defined():
    """The first one chooses the source of data of the others."""
    names = [variable["name"] for variable in CONTENT["templating"]["list"]]
    assert names == ["datasource", "queue", "task"]
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(CONTENT)))
    assert used - {"__all", "__rate_interval"} == set(names)


def test_prometheus_parses_each_query(promtool, tmp_path):  # noqa: F811
    """As rules, because promtool parses no bare query."""
    rules = [{"record": f"query:{n}", "expr": expr} for n, (_, expr) in enumerate(queries())]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    code, printed = run(promtool, "check", "rules", path)
    assert code == 0, printed


def test_every_signal_of_the_queries_is_one_of_huey():
    """A value that no series has would match nothing, without an error."""
    found = [match for _, query in queries() for match in re.findall(r'signal=~?"([^"]+)"', query)]
    names = {name for match in found for name in match.split("|")}
    assert {"complete", "rate-limited"} <= names <= SIGNALS
