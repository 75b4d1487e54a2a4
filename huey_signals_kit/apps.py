"""Where Django looks for the app if ``INSTALLED_APPS`` has ``"huey_signals_kit"``."""

from .contrib.django.apps import HueySignalsConfig

__all__ = ["HueySignalsConfig"]
