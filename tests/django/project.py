"""A Django project as ``django-admin startproject`` makes it, and what is run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cli.conftest import Ran
from tests.consumer.harness import OPTIONS, ROOT, Consumer, run_consumer

SETTING = "DJANGO_SETTINGS_MODULE"
SECONDS = 60


@cache
def _startproject() -> dict[str, str]:
    """Return the files that the command makes, by path."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "django", "startproject", "shop", folder]
        subprocess.run(command, check=True, cwd=folder)
        files = [path for path in Path(folder).rglob("*.py") if path.is_file()]
        return {str(path.relative_to(folder)): path.read_text() for path in files}


class Project:
    """A project named ``shop`` with the app ``store``, in a folder of its own.

    Args:
        path: The folder, which exists.
        settings: Added to the settings.
        tasks: The module ``store.tasks``.
    """

    def __init__(self, path: Path, settings: str = "", tasks: str = "") -> None:
        self.path = path
        for file, text in _startproject().items():
            self.write(file, text)
        self.write("store/__init__.py", "")
        self.write("store/tasks.py", tasks)
        self.add(f"INSTALLED_APPS += ['store']\n{settings}")

    def write(self, file: str, text: str) -> None:
        """Write a file of the project."""
        path = self.path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def add(self, text: str) -> None:
        """Add *text* to the settings."""
        with (self.path / "shop" / "settings.py").open("a") as file:
            file.write(f"{text}\n")

    def python(self, script: str, *, check: bool = True) -> Ran:
        """Run *script* in the project, as a module that Django's servers import would run."""
        return self.run([sys.executable, "-c", script], {SETTING: "shop.settings"}, check=check)

    def manage(self, *words: str) -> Ran:
        """Run ``manage.py``."""
        return self.run([sys.executable, "manage.py", *words])

    def command(
        self, *words: str, settings: str | None = "shop.settings", cwd: Path | None = None
    ) -> Ran:
        """Run ``huey-signals`` as its own script does, whose folder is not the project's."""
        script = "import sys; sys.path.remove(''); from huey_signals_kit.__main__ import main; "
        environment = {SETTING: settings} if settings is not None else {}
        return self.run([sys.executable, "-c", f"{script}main()", *words], environment, cwd)

    def run(
        self,
        command: list[str],
        environment: dict[str, str] | None = None,
        cwd: Path | None = None,
        check: bool = False,
    ) -> Ran:
        """Run a command until it ends."""
        ran = subprocess.run(
            command,
            cwd=cwd or self.path,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert not check or ran.returncode == 0, ran.stderr
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    @contextmanager
    def consumer(self, *words: str) -> Iterator[Consumer]:
        """Run ``manage.py run_huey`` or another consumer, given by its words."""
        command = [sys.executable, "manage.py", *words, *OPTIONS]
        log = self.path / f"consumer-{'-'.join(words)}.log"
        with run_consumer(command, log, self.path, self.environment) as consumer:
            yield consumer

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command, without a settings module."""
        own = {key: value for key, value in os.environ.items() if key != SETTING}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        python = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**own, "PYTHONPATH": path, "PATH": python, "COLUMNS": "80"}
