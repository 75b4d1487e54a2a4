"""The configuration of the app, which installs the kit when Django starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register
from django.core.signals import setting_changed

from ...registry import wrap_handlers
from ._checks import check_project
from ._connections import close_connections_around
from ._installation import installation


class HueySignalsConfig(AppConfig):  # type: ignore[misc]
    """The app ``huey_signals``."""

    name = "huey_signals_kit.contrib.django"
    label = "huey_signals"
    verbose_name = "Huey signals"

    def ready(self) -> None:
        """Install the kit on every queue of the project.

        No thread is started, no storage is used and no module ``tasks`` is imported. A mistake in
        the settings is logged and reported by the system checks; it raises nothing here.
        """
        register(check_project, "huey_signals")
        setting_changed.connect(installation.on_setting_changed, dispatch_uid="huey_signals")
        wrap_handlers(close_connections_around)
        installation.start()
