"""Remove passwords from texts that are shown."""

from __future__ import annotations

import re

_URL = re.compile(r"(?<=://)[^\s'\"]*@")
_SETTING = re.compile(
    r"\b((?:password|passwd|pwd|username|user)\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s&#,;)]+)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Return `text` with ``***`` for user and password in URLs and in settings like ``user=``."""
    return _SETTING.sub(r"\1***", _URL.sub("***@", text))
