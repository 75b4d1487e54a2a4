"""The settings of the project whose tests these are."""

import tempfile
from pathlib import Path

from huey import MemoryHuey

FOLDER = Path(tempfile.mkdtemp(prefix="huey-signals-django-"))
SECRET_KEY = "of the tests"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "huey_signals_kit.contrib.django",
    "tests.django.suite",
]
# In files, because Django does not close a database in memory.
DATABASES = {
    name: {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / name,
        "TEST": {"NAME": FOLDER / f"test-{name}"},
    }
    for name in ("default", "other")
}
HUEY = MemoryHuey("suite", immediate=False)
HUEY_SIGNALS = {"preset": "of-the-suite", "sinks": "tests.django.suite.objects.Sink"}
