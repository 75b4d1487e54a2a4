"""What must not be shown: passwords in URLs, and in the texts of errors."""

from __future__ import annotations

import re

_URL = re.compile(r"(?<=://)[^\s'\"]*@")
_NAMED = re.compile(
    r"\b((?:password|passwd|pwd|username|user)\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s&#,;)]+)",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """*text* with ``***`` for what stands before the host in a URL, and after ``password=``."""
    return _NAMED.sub(r"\1***", _URL.sub("***@", text))
