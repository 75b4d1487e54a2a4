"""The settings of the project whose tests these are."""

import tempfile
from pathlib import Path

from huey import MemoryHuey

FOLDER = Path(tempfile.mkdtemp(prefix="huey-signals-django-"))
SECRET_KEY = "of the tests"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "huey_signals_kit.contrib.django",
    "tests.django.suite",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.django.suite.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
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
