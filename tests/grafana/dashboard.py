"""Write ``recipes/grafana/dashboard.json``: ``python -m tests.grafana.dashboard``.

The result is a dashboard in Grafana's classic schema. Panels are placed from left to right in the
order of `ROWS`; a new line begins where the width of 24 columns is full.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.grafana.panels import QUEUE, SOURCE, Panel
from tests.grafana.rows_of_store import LOCKS, STORE
from tests.grafana.rows_of_work import CONSUMERS, OVERVIEW, TASKS

PATH = Path(__file__).parents[2] / "recipes" / "grafana" / "dashboard.json"
WIDTH = 24
ROWS = {
    "Overview": OVERVIEW,
    "Tasks": TASKS,
    "Locks": LOCKS,
    "Store": STORE,
    "Consumers": CONSUMERS,
}


def placed() -> Iterator[Panel]:
    """Yield the panels with their numbers and places, each row before its panels."""
    number, x, y, line = 0, 0, 0, 0
    for title, panels in ROWS.items():
        y, x = y + line, 0
        number += 1
        place = {"w": WIDTH, "h": 1, "x": 0, "y": y}
        yield {"type": "row", "id": number, "title": title, "collapsed": False, "panels": []} | {
            "gridPos": place
        }
        y, line = y + 1, 0
        for each in panels:
            size = each["gridPos"]
            if x + size["w"] > WIDTH:
                x, y = 0, y + line
                line = 0
            number += 1
            line = max(line, size["h"])
            yield {"id": number, **each, "gridPos": {**size, "x": x, "y": y}}
            x += size["w"]


def variables() -> list[dict[str, Any]]:
    """Return the variables at the top of the dashboard."""
    every = {"includeAll": True, "multi": True, "current": {"text": ["All"], "value": ["$__all"]}}
    asked = {"type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1, **every}

    def values(name: str, label: str, query: str, **more: Any) -> dict[str, Any]:
        return {**asked, "name": name, "label": label, "query": query, **more}

    return [
        {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"},
        values("queue", "Queue", "label_values(huey_up, queue)"),
        values("task", "Task", f"label_values(huey_signals_total{{{QUEUE}}}, task)", allValue=".*"),
    ]


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard."""
    return {
        "uid": "huey-signals",
        "title": "Huey",
        "description": "Queues of Huey, measured by huey-signals-kit.",
        "tags": ["huey"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": variables()},
        "panels": [*placed()],
    }


def text() -> str:
    """Return the content of the file."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
