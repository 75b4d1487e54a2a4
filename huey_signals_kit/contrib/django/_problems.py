"""What is wrong with the settings: shown by the system checks, and logged when Django starts."""

from __future__ import annotations

import importlib
import logging
import traceback
from dataclasses import dataclass
from pathlib import Path

from django.utils import module_loading

_IMPORT_FILES = (importlib.__file__, module_loading.__file__)


@dataclass(frozen=True)
class Problem:
    """A mistake in the settings or in the code of the project."""

    code: str
    """``E001`` for an error, ``W001`` for a warning."""
    text: str
    hint: str | None = None

    @property
    def level(self) -> int:
        """The level of the log and of the check."""
        return logging.ERROR if self.code.startswith("E") else logging.WARNING

    def __str__(self) -> str:
        return f"{sentence(self.text)} {self.hint or ''}".strip() + f" (huey_signals.{self.code})"


def sentence(text: str) -> str:
    """Return the text with a full stop, unless it has an end."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def describe_raised(exc: BaseException) -> str:
    """Return which exception a module or a class of the project raised, and on which line."""
    line = raising_line(exc)
    return f"{type(exc).__name__}: {exc}" + (f" ({line})" if line else "")


def raising_line(exc: BaseException) -> str:
    """Return the file and the line of the project that raised; "" if its import found no module."""
    frames = [
        frame
        for frame in traceback.extract_tb(exc.__traceback__)
        if "<frozen" not in frame.filename
        and frame.filename not in _IMPORT_FILES
        and Path(__file__).parents[2] not in Path(frame.filename).parents
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


def hint_to_correct(module: str) -> str:
    """Return the hint for a module whose import raises."""
    return f"Correct {module}; 'python manage.py shell -c \"import {module}\"' shows the traceback."
