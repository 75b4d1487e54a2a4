"""``FileStorage``: a folder of its own beside the results, whose files are named by due time."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..store import file_lock
from ._entry import BATCH, Entry, digest

FOLDER = ".huey-signals/expiring"
_OURS = re.compile(r"[0-9]{15}-[0-9a-f]{32}(\.tmp)?").fullmatch
_DIGEST = 40
_STILL_TO_COME_MS = 5_000
"""How long after its time a file waits for the error that it announces."""


class Files:
    """First a file with the digest and the key, then Huey stores the error.

    A process that was killed between the two leaves only that file, which goes in its time.
    """

    def put(self, storage: Any, entry: Entry) -> Any:
        """One more file written."""
        self.mark(storage, entry)
        return storage.put_data(entry.key, entry.value, is_result=True)

    def mark(self, storage: Any, entry: Entry) -> None:
        """One file written."""
        folder = Path(storage.path, FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{entry.due_ms:015d}-{uuid4().hex}"
        unfinished = folder / f"{name}.tmp"
        unfinished.write_bytes(f"{entry.digest}{entry.key}".encode())
        unfinished.replace(folder / name)

    def reap(self, storage: Any, now: float) -> bool:
        """Reads the folder, and no file that is not due."""
        removed = 0
        for path in _due(Path(storage.path, FOLDER), now)[:BATCH]:
            with file_lock(storage), suppress(FileNotFoundError):  # another process may be at it
                removed += _remove(storage, path, now)
        return removed == BATCH


def _due(folder: Path, now: float) -> list[Path]:
    last = f"{round(now * 1000) + 1:015d}"
    try:
        # Others may leave files here too, as .DS_Store.
        names = sorted(name for name in os.listdir(folder) if _OURS(name) and name < last)
    except FileNotFoundError:
        return []
    return [folder / name for name in names]


def _remove(storage: Any, path: Path, now: float) -> bool:
    noted = path.read_bytes().decode("utf-8", "replace")
    result = Path(storage.path_for_key(noted[_DIGEST:]))
    value = storage.peek_data(noted[_DIGEST:])
    if isinstance(value, bytes) and digest(value) == noted[:_DIGEST]:
        result.unlink()
    elif not result.exists() and int(path.name[:15]) > now * 1000 - _STILL_TO_COME_MS:
        return False
    path.unlink()
    return True
