"""Reads what a registry or a server of prometheus_client shows."""

from __future__ import annotations

from urllib.request import urlopen

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """One answer: each sample's value by its name and labels."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self.samples = [
            (each.name, each.labels, each.value)
            for family in self.families
            for each in family.samples
            if each.name.startswith("huey_")
        ]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name with these labels."""
        return sum(
            value
            for each, given, value in self.samples
            if each == name and labels.items() <= given.items()
        )

    def outcomes(self) -> tuple[float, float, float, float]:
        """How many tasks completed, were skipped for a lock, failed; how many were timed."""
        return (
            self.total("huey_signals_total", signal="complete"),
            self.total("huey_lock_skips_total"),
            self.total("huey_signals_total", signal="error"),
            self.total("huey_task_duration_seconds_count"),
        )


def scrape(registry: CollectorRegistry) -> Scrape:
    """What the registry shows now."""
    return Scrape(generate_latest(registry).decode())


def scrape_port(port: int) -> Scrape:
    """What the server on that port answers."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return Scrape(answer.read().decode())
