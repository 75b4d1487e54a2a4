"""The same act as a command, or as a line of Python, for any name that a store can have."""

from __future__ import annotations

import glob
import re
import shlex
import sys
from typing import Any

MAX_WORD = 4096
"""Bytes of a word that a person can copy; Linux takes 128 kB."""

_PLACEHOLDER = "HUEY"


def command(huey: Any, *words: str, names: tuple[str, ...] = (), options: str = "--apply") -> str:
    """Return a command of ``huey-signals`` to copy; empty if a shell cannot pass a name.

    Args:
        huey: The Huey.
        *words: The command.
        names: Names from the store, after the Huey.
        options: The options, which come last, unless a name looks like one.
    """
    try:
        quoted = [quote(name) for name in names]
    except ValueError:
        return ""
    begin = ["huey-signals", *words, huey_path(huey)]
    if any(name.startswith("-") for name in names):
        return " ".join([*begin, options, "--", *quoted])
    return " ".join([*begin, *quoted, options])


def quote(word: str) -> str:
    r"""Return a name as one word of a shell.

    A name with characters that a terminal does not show is written as ``$'\x1b'``, which bash, zsh
    and ksh read.

    Raises:
        ValueError: It has a NUL, or is too long.
    """
    raw = word.encode("utf-8", "surrogateescape")
    if b"\0" in raw or len(raw) > MAX_WORD:
        raise ValueError("a shell cannot pass this word")
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def exact_pattern(key: str) -> str:
    """Return a pattern of ``huey-signals tokens`` that only this key matches."""
    return glob.escape(key)


def huey_variable(huey: Any) -> str:
    """Return a name for the Huey in a line of Python."""
    return huey_path(huey).rpartition(".")[2].lower()


def huey_path(huey: Any) -> str:
    """Return the Huey as ``module.attribute``, if an imported module has it; else a placeholder."""
    declaring = [cls.__module__ for cls in huey._registry._registry.values()]
    for name in dict.fromkeys([*declaring, *sys.modules]):
        values: dict[str, Any] = getattr(sys.modules.get(name), "__dict__", {})
        if name.startswith("__") or not is_path(name):
            continue
        for attribute, value in list(values.items()):
            if value is huey and is_path(attribute):
                return f"{name}.{attribute}"
    return _PLACEHOLDER


def task_path(huey: Any, name: str) -> str:
    """Return the function of a declared task as ``module.function``; empty if that is unknown.

    Args:
        huey: The Huey.
        name: The name of the task.
    """
    module, _, attribute = name.rpartition(".")
    declared = huey._registry._registry.get(name)
    function = getattr(sys.modules.get(module), attribute, None)
    is_task = declared is not None and getattr(function, "task_class", None) is declared
    is_importable = is_task and is_path(name) and not name.startswith("__")
    return name if is_importable else ""


def is_path(name: str) -> bool:
    """Return whether a name can be written in Python as it is, such as ``module.function``."""
    return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name, re.ASCII) is not None
