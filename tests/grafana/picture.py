"""A picture of the dashboard, drawn from its JSON: ``python -m tests.grafana.picture FILE.png``.

It shows about what Grafana shows: the places and titles of the panels, and the figures that a real
Prometheus returns for their queries while a queue is in trouble. It is not Grafana.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import Any

from tests.grafana import servers
from tests.grafana.queries import DASHBOARD, filled_in
from tests.grafana.world import NAME, World, steady
from tests.servers import redis_server
from tests.web.browser.webdriver import running_browser

WIDTH, CELL, GAP = 1600, 30, 8
SECONDS = 45
"""How long the queue works before the picture is taken."""
COLORS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#fade2a", "#8ab8ff", "#e0b400")
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
NAMED["dark-red"] = "#c4162a"
STYLE = """
body { background: #111217; color: #ccccdc; font: 12px Inter, Arial, sans-serif; margin: 0; }
main { position: relative; }
section { position: absolute; background: #181b1f; border: 1px solid #2c2f35; overflow: hidden;
  box-sizing: border-box; padding: 6px 8px; display: flex; flex-direction: column; }
section.row { background: none; border: none; font-size: 15px; padding: 4px; }
h2 { font: 500 13px Inter, Arial, sans-serif; margin: 0 0 4px; white-space: nowrap; }
.big { font-size: 38px; margin: auto; }
svg { width: 100%; flex: 1; min-height: 0; }
.scale { font-size: 10px; display: flex; justify-content: space-between; color: #8e8e9b; }
table { border-collapse: collapse; width: 100%; font-size: 11px; }
td, th { text-align: left; padding: 1px 6px; white-space: nowrap; }
.legend { max-height: 35%; overflow: hidden; }
.legend td + td, .legend th + th { text-align: right; width: 70px; }
i { display: inline-block; width: 12px; height: 3px; margin-right: 6px; vertical-align: middle; }
"""


def shown(value: float, unit: str) -> str:
    """Return a value about as Grafana shows it."""
    if unit == "bytes":
        for name in ("B", "KiB", "MiB", "GiB"):
            if value < 1024 or name == "GiB":
                return f"{value:.3g} {name}"
            value /= 1024
    if unit == "s":
        for size, name in ((86400, "days"), (3600, "hours"), (60, "mins")):
            if value >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    return f"{value:.3g}{unit.removeprefix('suffix:') if unit.startswith('suffix:') else ''}"


def color_of(value: float, steps: list[dict[str, Any]]) -> str:
    """Return the color of the last threshold that the value reaches."""
    reached = [step for step in steps if step["value"] is None or value >= step["value"]]
    return NAMED.get(reached[-1]["color"], "#ccccdc")


def legend_of(target: dict[str, Any], labels: dict[str, str]) -> str:
    """Return the name of a series."""
    name = target["legendFormat"]
    if name == "__auto":
        return " ".join(labels.values()) or "value"
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), name)


class Drawing:
    """The panels as HTML.

    Args:
        prometheus: Where the figures come from.
        start: Unix time of the left end of the graphs.
    """

    def __init__(self, prometheus: servers.Prometheus, start: float) -> None:
        self._prometheus, self._start, self._end = prometheus, start, time.time()

    def html(self) -> str:
        """Return the whole page."""
        panels = json.loads(DASHBOARD.read_text())["panels"]
        end = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
        body = "".join(map(self._section, panels))
        height = end * (CELL + GAP)
        return (
            f"<!doctype html><meta charset=utf-8><title>Huey</title><style>{STYLE}</style>"
            f"<main style='width:{WIDTH}px;height:{height}px'>{body}</main>"
        )

    def _section(self, panel: dict[str, Any]) -> str:
        place, column = panel["gridPos"], WIDTH / 24
        style = (
            f"left:{place['x'] * column}px;top:{place['y'] * (CELL + GAP)}px;"
            f"width:{place['w'] * column - GAP}px;height:{place['h'] * (CELL + GAP) - GAP}px"
        )
        if panel["type"] == "row":
            return f"<section class=row style='{style}'>⌄ {panel['title']}</section>"
        content = getattr(self, f"_{panel['type']}")(panel)
        return f"<section style='{style}'><h2>{escape(panel['title'])}</h2>{content}</section>"

    def _stat(self, panel: dict[str, Any]) -> str:
        defaults = panel["fieldConfig"]["defaults"]
        found = self._prometheus.query(filled_in(panel["targets"][0]["expr"], "10s"))
        if not found:
            return f"<div class=big>{defaults.get('noValue', 'No data')}</div>"
        value = float(found[0]["value"][1])
        color = color_of(value, defaults["thresholds"]["steps"])
        text = shown(value, defaults["unit"])
        for mapping in defaults["mappings"]:
            if (named := mapping["options"].get(f"{value:g}")) is not None:
                text, color = named["text"], NAMED[named["color"]]
        return f"<div class=big style='color:{color}'>{text}</div>"

    def _table(self, panel: dict[str, Any]) -> str:
        columns = panel["transformations"][0]["options"]["renameByName"]
        found = self._prometheus.query(filled_in(panel["targets"][0]["expr"], "10s"))
        head = "".join(f"<th>{name}" for name in columns.values())
        lines = "".join(
            "<tr>" + "".join(f"<td>{escape(each['metric'].get(label, ''))}" for label in columns)
            for each in found
        )
        return f"<table><tr>{head}{lines}</table>"

    def _timeseries(self, panel: dict[str, Any]) -> str:
        defaults, series = panel["fieldConfig"]["defaults"], self._series(panel)
        is_stacked = defaults["custom"]["stacking"]["mode"] == "normal"
        most = max((value for _, points in series for value in points.values()), default=0)
        if is_stacked:
            moments = {moment for _, points in series for moment in points}
            most = max(
                (sum(points.get(moment, 0) for _, points in series) for moment in moments),
                default=0,
            )
        lines, below, legend = [], dict[float, float](), []
        for n, (name, points) in enumerate(series):
            color = self._color(panel, name) or COLORS[n % len(COLORS)]
            heights = {
                moment: value + (below.get(moment, 0) if is_stacked else 0)
                for moment, value in points.items()
            }
            below |= heights
            places = " ".join(
                f"{(moment - self._start) / (self._end - self._start) * 100:.2f},"
                f"{100 - height / (most or 1) * 96:.2f}"
                for moment, height in heights.items()
            )
            lines.append(
                f"<polyline fill=none stroke='{color}' stroke-width=1.5 "
                f"vector-effect=non-scaling-stroke points='{places}'/>"
            )
            last = shown([*points.values()][-1], defaults["unit"])
            top = shown(max(points.values()), defaults["unit"])
            row = f"<tr><td><i style='background:{color}'></i>{escape(name)}<td>{last}<td>{top}"
            legend.append((-max(points.values()), row))
        unit = defaults["unit"]
        rows = "".join(row for _, row in sorted(legend, key=lambda entry: entry[0]))
        return (
            f"<div class=scale><span>{shown(most, unit)}</span></div>"
            "<svg viewBox='0 0 100 100' preserveAspectRatio=none>"
            f"<path d='M0 100H100M0 52H100M0 4H100' stroke='#2c2f35' "
            f"vector-effect=non-scaling-stroke />{''.join(lines)}</svg>"
            f"<div class=scale><span>{shown(0, unit)}</span></div>"
            f"<div class=legend><table><tr><th>Name<th>Last<th>Max{rows}</table></div>"
        )

    def _series(self, panel: dict[str, Any]) -> list[tuple[str, dict[float, float]]]:
        found = []
        for target in panel["targets"]:
            answer = self._prometheus.ask(
                "query_range",
                query=filled_in(target["expr"], "10s"),
                start=str(self._start),
                end=str(self._end),
                step="1",
            )
            for each in answer["result"]:
                points = {at: float(value) for at, value in each["values"] if value != "NaN"}
                if points:
                    found.append((legend_of(target, each["metric"]), points))
        return found

    def _color(self, panel: dict[str, Any], name: str) -> str | None:
        for override in panel["fieldConfig"]["overrides"]:
            pattern = override["matcher"]["options"]
            is_regexp = pattern.startswith("/")
            if re.search(pattern.strip("/"), name) if is_regexp else pattern == name:
                return NAMED[override["properties"][0]["value"]["fixedColor"]]
        return None


def take(path: Path) -> None:
    """Let a queue be in trouble for a while, and take the picture."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        world = World(Path(folder), stack.enter_context(redis_server()), stack)
        world.allow(True)
        prometheus = world.start_prometheus()
        stack.enter_context(world.export())
        stack.enter_context(world.main_consumer())
        start = time.time()

        def work() -> None:
            for n in range(3):
                world.tasks.ordinary(n)
            world.tasks.fails()
            world.tasks.hold("import", 1.5)
            world.tasks.hold("report", 0.2)
            world.tasks.ordinary.schedule((1,), delay=600)
            world.huey.put(f"result {time.monotonic()}", "x" * 1000)
            world.huey.revoke_by_id(f"{int(time.monotonic()):08x}-0000-4000-8000-000000000000")

        with steady(work):
            time.sleep(SECONDS / 2)
            world.command("sweep", NAME, "--apply")
            time.sleep(SECONDS / 2)
            page = Path(folder) / "page.html"
            page.write_text(Drawing(prometheus, start).html())
            height = int(re.search(r"width:\d+px;height:(\d+)px", page.read_text())[1])
        with running_browser(Path(folder)) as browser:
            browser.look(size=(WIDTH, height))
            browser.open(page.as_uri())
            browser.screenshot(path)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
