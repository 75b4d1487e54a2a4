"""The configuration of the app, which installs the kit when Django starts."""

from __future__ import annotations

from django.apps import AppConfig

from ... import install_handlers
from ._queues import find_queues


class HueySignalsConfig(AppConfig):  # type: ignore[misc]
    """The app ``huey_signals``."""

    name = "huey_signals_kit.contrib.django"
    label = "huey_signals"
    verbose_name = "Huey signals"

    def ready(self) -> None:
        """Install the kit on every queue of the project."""
        for queue in find_queues():
            install_handlers(queue.huey)
