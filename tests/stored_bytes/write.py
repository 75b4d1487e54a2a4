"""Writes the stored bytes of a version of the kit, one JSON file for each storage.

``python -m tests.stored_bytes.write CHECKOUT``, where CHECKOUT is a checkout of that version with
its own ``.venv``. The files beside this one were written by commit e67efad with Huey 2.5.0, whose
messages every later Huey can read. They never change: a form that a later version adds gets
files of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.servers import redis_server
from tests.stored_bytes import process
from tests.support import Place

HERE = Path(__file__).parent
KINDS = ("sqlite", "file", "redis", "redis-expire")
NAME = "stored"
SECONDS = 100


def run(python: str, checkout: Path, folder: Path, *words: str) -> Any:
    """Return what one action of the `process` module prints, run with the package of a checkout."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "HUEY_SIGNALS_RUN_DIR": str(folder / "run"),
        "PYTHONWARNINGS": "ignore",
    }
    command = [python, str(checkout / "tests" / HERE.name / "process.py"), *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def place(kind: str, folder: Path, url: str) -> Place:
    """Return the place of the queue; every storage keeps its name in what it writes."""
    locations = {"sqlite": folder / "queue.db", "file": folder / "queue"}
    return Place(kind, str(locations.get(kind, url)), NAME)


def main(checkout: Path) -> None:
    python = str(checkout / ".venv" / "bin" / "python")
    (checkout / "tests" / HERE.name).mkdir(exist_ok=True)
    shutil.copy(process.__file__, checkout / "tests" / HERE.name)
    for kind in KINDS:
        with redis_server() as url, tempfile.TemporaryDirectory() as folder:
            first = place(kind, Path(folder), url)
            told = run(python, checkout, Path(folder), "write", *vars(first).values(), folder)
        with redis_server() as url, tempfile.TemporaryDirectory() as folder:
            again = place(kind, Path(folder), url)
            huey = again.open()
            process.load(huey, again.location, process.decode(told["store"]))
            ids = json.dumps(told["notes"])
            told["read"] = run(python, checkout, Path(folder), "read", *vars(again).values(), ids)
        (HERE / f"{kind}.json").write_text(_lines(told))
        print(kind, {part: len(content) for part, content in told.items()})


def _lines(told: dict[str, Any]) -> str:
    parts = []
    for part, content in told.items():
        pairs = content.items() if isinstance(content, dict) else ((None, e) for e in content)
        rows = [
            json.dumps(value) if key is None else f"{json.dumps(key)}: {json.dumps(value)}"
            for key, value in pairs
        ]
        left, right = "{}" if isinstance(content, dict) else "[]"
        parts.append(f'"{part}": {left}\n  ' + ",\n  ".join(rows) + f"\n{right}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
