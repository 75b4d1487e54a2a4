"""Projects in a folder of their own, whose tests are run in a process of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SECONDS = 110


@dataclass
class Ran:
    """What a test run has printed, and its exit code."""

    code: int
    out: str

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each test: ``passed``, ``failed`` or ``error``."""
        found = re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\S+)", self.out, re.MULTILINE)
        return {name: outcome.lower() for outcome, name in found}

    @property
    def words(self) -> str:
        """The output as running text."""
        return " ".join(self.out.split())


def python(folder: Path, *arguments: str, **environment: str) -> Ran:
    """Run Python in *folder*; warnings are errors."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    own.pop("DJANGO_SETTINGS_MODULE", None)
    ran = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={**own, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    return Ran(ran.returncode, ran.stdout)


def pytest_in(folder: Path, *arguments: str, **environment: str) -> Ran:
    """Run pytest in *folder*, as strict as it can be."""
    strict = ("-p", "no:cacheprovider", "--strict-markers", "--strict-config", "-W", "error")
    return python(folder, "-m", "pytest", "-q", "-rA", *strict, *arguments, **environment)
