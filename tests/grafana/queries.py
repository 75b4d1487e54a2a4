"""The queries of the dashboard, as Grafana sends them to Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).parents[2] / "recipes" / "grafana" / "dashboard.json"


def panels() -> list[dict[str, Any]]:
    """Return the panels, without the rows."""
    content = json.loads(DASHBOARD.read_text())
    return [panel for panel in content["panels"] if panel["type"] != "row"]


def queries(interval: str = "1m") -> Iterator[tuple[str, str]]:
    """Yield the title of a panel and a query of it, for each query.

    Args:
        interval: The value of ``$__rate_interval``.
    """
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], filled_in(target["expr"], interval)


def filled_in(expr: str, interval: str) -> str:
    """Return a query with the values of its variables: all queues and all tasks."""
    for variable, value in (("$__rate_interval", interval), ("$queue", ".+"), ("$task", ".*")):
        expr = expr.replace(variable, value)
    return expr
