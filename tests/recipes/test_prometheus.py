"""The page ``recipes/prometheus.md``, with a real Prometheus."""

from __future__ import annotations

import re
import shutil

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("prometheus_client", exc_type=ImportError)

from tests.grafana import servers
from tests.grafana.test_rules import ALERTS, RULES
from tests.recipes import pages
from tests.recipes.commands import commands_in, parse
from tests.recipes.pages import RECIPES, reader_in, sections_of
from tests.servers import free_port, served
from tests.support import wait_until

PAGE = (RECIPES / "prometheus.md").read_text()
PORT, CONSUMER_PORT = "9808", "9809"


@pytest.fixture
def has_prometheus():
    """Nothing, if the machine has a Prometheus."""
    yield from served(servers.installed)


@pytest.mark.parametrize("words", commands_in(PAGE), ids=" ".join)
def test_each_command_of_the_page_exists(words):
    """With these options."""
    parse(words)


def test_the_page_lists_each_alert():
    """With its severity."""
    listed = dict(re.findall(r"^\| `(Huey\w+)` \| (\w+) \|", PAGE, re.MULTILINE))
    severities = re.findall(r"^ +severity: (\w+)$", RULES.read_text(), re.MULTILINE)
    assert listed == dict(zip(ALERTS, severities, strict=True))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("heading", [*sections_of("prometheus.md")])
def test_a_reader_sees_what_the_page_shows(heading, tmp_path, monkeypatch, has_prometheus):
    """In an empty folder; Prometheus scrapes what the page starts, and has its rules."""
    monkeypatch.setattr(pages, "PORT", PORT)
    blocks = sections_of("prometheus.md")[heading]
    other_port = str(free_port())
    blocks = [
        pages.Block(block.language, block.above, block.text.replace(CONSUMER_PORT, other_port))
        for block in blocks
    ]
    shutil.copy(RULES, tmp_path)
    with reader_in(tmp_path) as reader:
        reader.follow(blocks)
        config = tmp_path / "prometheus.yml"
        if config.exists():
            config.write_text(config.read_text().replace(PORT, reader.port))
            with servers.prometheus(config) as prometheus:
                ask = prometheus.ask
                wait_until(
                    lambda: (
                        [target["health"] for target in ask("targets")["activeTargets"]] == ["up"]
                    ),
                    60,
                    "a scrape",
                )
                (group,) = ask("rules")["groups"]
                assert [rule["name"] for rule in group["rules"]] == ALERTS
    assert "Traceback" not in reader.logs(), reader.logs()
