"""The Hueys of a Django project: that of djhuey, and those of django-huey."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings

DJHUEY = "huey.contrib.djhuey"


@dataclass(frozen=True)
class Queue:
    """A Huey of the project."""

    name: str
    """The key in ``DJANGO_HUEY["queues"]``; of djhuey the name of its Huey."""
    huey: Any


def find_queues() -> list[Queue]:
    """Return the queues that the settings define."""
    queues = []
    if uses_djhuey():
        huey = import_module(DJHUEY).HUEY
        queues.append(Queue(str(huey.name), huey))
    if getattr(settings, "DJANGO_HUEY", None) is not None:
        hueys = import_module("django_huey").config.hueys_setting
        queues += [Queue(name, huey) for name, huey in hueys.items()]
    return queues


def uses_djhuey() -> bool:
    """Return whether the project uses ``huey.contrib.djhuey``, whose import makes a Huey."""
    return (
        getattr(settings, "HUEY", None) is not None
        or apps.is_installed(DJHUEY)
        or DJHUEY in sys.modules
    )
