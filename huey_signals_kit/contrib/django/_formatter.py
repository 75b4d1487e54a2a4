"""The setting ``HUEY_SIGNALS_FORMAT_ARGUMENTS``: what the web interface shows of arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from ...web import FormatArguments

FORMATTER = "HUEY_SIGNALS_FORMAT_ARGUMENTS"


def read_formatter() -> FormatArguments | None:
    """Return the function that the setting has or names; None without the setting.

    Raises:
        ImportError: There is no object with that path.
        TypeError: It is not a function (name, args, kwargs).
    """
    given = getattr(settings, FORMATTER, None)
    if given is None:
        return None
    from ...web.arguments import validate_formatter

    return validate_formatter(import_string(given) if isinstance(given, str) else given)
