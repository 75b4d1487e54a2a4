"""Work that could not go on."""

from __future__ import annotations

from typing import Any


class Stopped(RuntimeError):
    """Work on a storage that went away half way; ``report`` has what was done until then."""

    work = "the work on"

    def __init__(self, queue: str, report: Any, cause: BaseException) -> None:
        super().__init__(
            f"{self.work} {queue!r} stopped after {report.scanned} keys, of which it has "
            f"deleted {report.deleted}: {cause!r}"
        )
        self.report = report
