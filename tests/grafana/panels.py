"""Panels of Grafana's classic schema, without a place on the dashboard."""

from __future__ import annotations

from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RATE = "[$__rate_interval]"
QUEUE = 'queue=~"$queue"'
TASK = f'{QUEUE}, task=~"$task"'
PER_MINUTE = "suffix:/min"
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"

Panel = dict[str, Any]
Query = tuple[str, str]
"""An expression of PromQL, and the legend of its series."""


def per_minute(metric: str, by: str, *labels: str, most: int = 0) -> str:
    """Return the rate of a counter, per minute.

    Args:
        metric: The name of the counter.
        by: The labels that stay, as in "queue, lock"; empty for one figure.
        labels: Matchers of labels.
        most: Show only so many series, those with the highest rates; 0 for all.
    """
    grouped = f"sum by ({by}) " if by else "sum"
    expression = f"60 * {grouped}(rate({metric}{{{', '.join(labels)}}}{RATE}))"
    return f"topk({most}, {expression})" if most else expression


def panel(kind: str, title: str, description: str, size: tuple[int, int], **more: Any) -> Panel:
    """Return a panel without a place.

    Args:
        kind: The name of Grafana's plugin.
        title: What the panel shows.
        description: What it means, and what to do about it.
        size: Its width and height.
        more: Other properties.
    """
    width, height = size
    place = {"w": width, "h": height, "x": 0, "y": 0}
    head = {"type": kind, "title": title, "description": description, "gridPos": place}
    return {**head, "datasource": SOURCE, **more}


def targets(*queries: Query, instant: bool = False) -> list[dict[str, Any]]:
    """Return the queries of a panel."""
    kind = {"instant": True, "range": False, "format": "table"} if instant else {"range": True}
    return [
        {"refId": chr(ord("A") + n), "datasource": SOURCE, "editorMode": "code"}
        | {"expr": expr, "legendFormat": legend or "__auto", **kind}
        for n, (expr, legend) in enumerate(queries)
    ]


def thresholds(base: str, *steps: tuple[float, str]) -> dict[str, Any]:
    """Return the colors of values: that of the lowest, then from which value on another."""
    colors = [{"color": base, "value": None}]
    colors += [{"color": color, "value": value} for value, color in steps]
    return {"mode": "absolute", "steps": colors}


def stat(
    title: str,
    description: str,
    expr: str,
    unit: str = "short",
    limits: dict[str, Any] | None = None,
    names: dict[str, tuple[str, str]] | None = None,
    width: int = 3,
    decimals: int | None = 0,
    missing: str = "",
) -> Panel:
    """Return a figure with a small graph.

    Args:
        title: Its title.
        description: Its description.
        expr: The query.
        unit: Its unit.
        limits: Its thresholds.
        names: Texts and colors for values.
        width: Its width.
        decimals: Digits after the point; None leaves them to Grafana.
        missing: What stands for no value.
    """
    mappings = [
        {
            "type": "value",
            "options": {
                value: {"text": text, "color": color, "index": n}
                for n, (value, (text, color)) in enumerate((names or {}).items())
            },
        }
    ]
    defaults: dict[str, Any] = {
        "unit": unit,
        "color": {"mode": "thresholds"},
        "thresholds": limits or thresholds(BLUE),
        "mappings": mappings if names else [],
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    if missing:
        defaults["noValue"] = missing
    options = {
        "colorMode": "value",
        "graphMode": "none" if names else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
        "textMode": "value",
        "wideLayout": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return panel(
        "stat",
        title,
        description,
        (width, 4),
        fieldConfig={"defaults": defaults, "overrides": []},
        options=options,
        targets=targets((expr, "")),
    )


def graph(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    width: int = 8,
    stacked: bool = False,
    limits: dict[str, Any] | None = None,
    colors: dict[str, str] | None = None,
    height: int = 8,
) -> Panel:
    """Return a graph over time.

    Args:
        title: Its title.
        description: Its description.
        queries: Its series.
        unit: Its unit.
        width: Its width.
        stacked: Whether the series are parts of a sum.
        limits: Thresholds to draw.
        colors: Colors of series by name, or by a regular expression between slashes.
        height: Its height.
    """
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "axisSoftMin": 0,
        "axisPlacement": "auto",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "line" if limits else "off"},
    }
    defaults = {
        "unit": unit,
        "min": 0,
        "color": {"mode": "palette-classic"},
        "thresholds": limits or thresholds(GREEN),
        "custom": custom,
    }
    overrides = [
        {
            "matcher": {"id": "byRegexp", "options": pattern},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        }
        for pattern, color in (colors or {}).items()
    ]
    legend = {"displayMode": "table", "placement": "bottom", "showLegend": True}
    legend |= {"sortBy": "Max", "sortDesc": True}
    return panel(
        "timeseries",
        title,
        description,
        (width, height),
        fieldConfig={"defaults": defaults, "overrides": overrides},
        options={
            "legend": {**legend, "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        targets=targets(*queries),
    )


def table(
    title: str, description: str, expr: str, columns: dict[str, str], width: int, height: int
) -> Panel:
    """Return a table of labels.

    Args:
        title: Its title.
        description: Its description.
        expr: The query.
        columns: The heading of each label that is shown, in order.
        width: Its width.
        height: Its height.
    """
    order = {label: n for n, label in enumerate(columns)}
    hidden = {"Time": True, "Value": True}
    organize = {"excludeByName": hidden, "indexByName": order, "renameByName": columns}
    return panel(
        "table",
        title,
        description,
        (width, height),
        fieldConfig={
            "defaults": {"custom": {"align": "left", "inspect": False}},
            "overrides": [],
        },
        options={"frameIndex": 0, "showHeader": True, "cellHeight": "sm"},
        targets=targets((expr, ""), instant=True),
        transformations=[{"id": "organize", "options": organize}],
    )
