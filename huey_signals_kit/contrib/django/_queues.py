"""The Hueys of a Django project: that of djhuey, and those of django-huey."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from typing import Any

from django.apps import apps
from django.conf import settings

from ..._checks import check_huey
from ._problems import Problem, sentence

DJHUEY = "huey.contrib.djhuey"
DJANGO_HUEY = "django_huey"


@dataclass(frozen=True)
class Queue:
    """A Huey of the project."""

    name: str
    """The key in ``DJANGO_HUEY["queues"]``; for djhuey the name of its Huey."""
    huey: Any
    command_name: str
    """The name of the Huey for the command ``huey-signals``."""
    setting: dict[str, Any] | None
    """The setting that the Huey was made from; None if the setting is a Huey."""
    where: str
    """The expression of that setting."""


def find_queues() -> tuple[list[Queue], list[Problem]]:
    """Return the queues of the settings, and a problem for each setting that makes none."""
    queues: list[Queue] = []
    problems = []
    for is_used, make, setting in (
        (uses_djhuey, _from_djhuey, "HUEY"),
        (_uses_django_huey, _from_django_huey, "DJANGO_HUEY"),
    ):
        output = StringIO()
        try:
            # djhuey prints a page about its settings and exits if they are wrong.
            with redirect_stdout(output):
                queues += make() if is_used() else []
        except (Exception, SystemExit) as exc:
            problems.append(_describe_failure(setting, exc, output.getvalue()))
    if _has_unused_setting():
        problems.append(
            Problem(
                "W004",
                "The setting DJANGO_HUEY is used by no package: django-huey is not installed.",
                "Run pip install django-huey, or remove the setting.",
            )
        )
    return queues, problems


def uses_djhuey() -> bool:
    """Return whether the project uses ``huey.contrib.djhuey``, whose import makes a Huey.

    In a project with django-huey, another package, such as django-huey-monitor, may import djhuey
    only for its decorators.
    """
    if getattr(settings, "HUEY", None) is not None or apps.is_installed(DJHUEY):
        return True
    return DJHUEY in sys.modules and getattr(settings, "DJANGO_HUEY", None) is None


def _from_djhuey() -> list[Queue]:
    setting = getattr(settings, "HUEY", None)
    huey = check_huey(import_module(DJHUEY).HUEY, "the setting HUEY")
    config = setting if isinstance(setting, dict) else None
    return [Queue(str(huey.name), huey, f"{DJHUEY}.HUEY", config, "HUEY")]


def _uses_django_huey() -> bool:
    setting = getattr(settings, "DJANGO_HUEY", None)
    return setting is not None and find_spec(DJANGO_HUEY) is not None


def _has_unused_setting() -> bool:
    return getattr(settings, "DJANGO_HUEY", None) is not None and not _uses_django_huey()


def _from_django_huey() -> list[Queue]:
    hueys = import_module(DJANGO_HUEY).config.hueys_setting
    configs = settings.DJANGO_HUEY["queues"]
    return [
        Queue(
            name,
            check_huey(huey, f"DJANGO_HUEY['queues'][{name!r}]"),
            f"{DJANGO_HUEY}:{name}",
            configs.get(name),
            f"DJANGO_HUEY['queues'][{name!r}]",
        )
        for name, huey in hueys.items()
    ]


def default_queue(queues: list[Queue]) -> Queue | None:
    """Return the queue that commands mean without ``--queue``, or None if it must be named."""
    if len(queues) == 1:
        return queues[0]
    if uses_djhuey():
        return None
    default = settings.DJANGO_HUEY.get("default")
    return next((queue for queue in queues if queue.name == default), None)


def _describe_failure(setting: str, exc: BaseException, output: str) -> Problem:
    is_exit = isinstance(exc, SystemExit)
    lines = output.strip().splitlines()
    reason = lines[-1].strip() if is_exit and lines else f"{type(exc).__name__}: {short_text(exc)}"
    return Problem(
        "E011",
        sentence(f"No Huey can be made from the setting {setting}: {reason}"),
        f"Correct {setting}; no consumer can start with it either.",
    )


def short_text(exc: BaseException) -> str:
    """Return the text of an exception on one line, shortened."""
    text = " ".join(str(exc).split())
    return text if len(text) <= 300 else f"{text[:297]}..."
