"""Set up Django projects as Huey's own command does, and explain what is missing."""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from typing import Any

from ..._checks import nearest

SETTING = "DJANGO_SETTINGS_MODULE"
_IN_MANAGE = re.compile(rf"""['"]{SETTING}['"]\s*[,\]=)]+\s*['"]([\w.]+)['"]""")


def is_installed() -> bool:
    """Return whether the environment names a Django project, and Django is installed."""
    return bool(os.environ.get(SETTING)) and find_spec("django") is not None


def load_tasks() -> None:
    """Set Django up and import the tasks of its apps, as ``manage.py run_huey`` does."""
    here = os.getcwd()
    if not {"", here} & set(sys.path):
        sys.path.insert(0, here)
    set_up()
    from django.utils.module_loading import autodiscover_modules

    with redirect_stdout(sys.stderr):
        autodiscover_modules("tasks")


def set_up() -> None:
    """Set Django up; what its apps print goes to standard error."""
    import django

    with redirect_stdout(sys.stderr):
        django.setup()


def needs_set_up(exc: BaseException) -> bool:
    """Return whether *exc* means that Django's apps must be loaded first."""
    return _is(exc, "AppRegistryNotReady") and is_installed()


def missing(exc: BaseException, asked: str) -> str | None:
    """Return a message if *exc* means that Django's settings were not found, else None.

    Args:
        exc: What the import of a module raised.
        asked: The name of the Huey on the command line.
    """
    setting = os.environ.get(SETTING)
    if not setting and _is(exc, "ImproperlyConfigured"):
        return (
            f"{asked} needs Django's settings, and the environment variable {SETTING} is not set. "
            f"Set it to the settings module of the project: {SETTING}={_guess()}"
        )
    if not setting or not isinstance(exc, ModuleNotFoundError) or exc.name is None:
        return None
    if not f"{setting}.".startswith(f"{exc.name}."):
        return None
    guess = _from_manage()
    close = nearest(setting, [guess]) if guess else ""
    return (
        f"{SETTING} is {setting!r}, and there is no module {exc.name!r} in {os.getcwd()} "
        f"or on Python's path.{close} Run this in the folder of manage.py, or correct {SETTING}"
    )


def why_immediate(huey: Any) -> str:
    """Return a hint if *huey* is the one of djhuey, whose immediate mode follows DEBUG."""
    djhuey = sys.modules.get("huey.contrib.djhuey")
    if djhuey is None or getattr(djhuey, "HUEY", None) is not huey:
        return ""
    return (
        ". In Django's settings, HUEY without 'immediate' takes the value of DEBUG: "
        "add 'immediate': False if a consumer works on the queue"
    )


def _is(exc: BaseException, name: str) -> bool:
    found = type(exc)
    return found.__name__ == name and found.__module__ == "django.core.exceptions"


def _guess() -> str:
    return _from_manage() or "project.settings"


def _from_manage() -> str | None:
    """Return the settings module that the manage.py of the current folder names."""
    with suppress(OSError, UnicodeDecodeError), open("manage.py", encoding="utf-8") as file:
        found = _IN_MANAGE.search(file.read())
        return found[1] if found else None
    return None
