"""The app in a project that ``django-admin startproject`` has made."""

from __future__ import annotations

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)
pytest.importorskip("django")

from tests.django.project import Project
from tests.selection import slow_except

APP = 'INSTALLED_APPS += ["huey.contrib.djhuey", "huey_signals_kit.contrib.django"]\n'
SQLITE = """
HUEY = {"huey_class": "huey.SqliteHuey", "name": "shop", "filename": BASE_DIR / "queue.db",
        "immediate": False}
"""
# No server listens there: a connection would fail.
REDIS = 'HUEY = {"name": "shop", "url": "redis://localhost:1/0", "immediate": False}\n'
INSTANCE = """
from huey import RedisHuey
HUEY = RedisHuey("shop", url="redis://localhost:1/0")
"""
TASKS = """
from huey.contrib.djhuey import db_task, lock_task

@db_task()
@lock_task("import")
def import_orders():
    pass
"""
AFTER_START = """
import sys, threading
import shop.wsgi
from huey.contrib.djhuey import HUEY
from huey_signals_kit import get_kit
kit = get_kit(HUEY)
print(kit and kit.settings.preset, [t.name for t in threading.enumerate()],
      "store.tasks" in sys.modules)
"""
HANDLERS = """
from huey_signals_kit import on

@on("error")
def removed_after_the_error_below(event):
    pass

import no_module
"""
NOTHING_MORE = "['MainThread'] False"


@pytest.mark.parametrize(
    "huey",
    [pytest.param(REDIS, id="dict"), pytest.param(INSTANCE, id="instance", marks=pytest.mark.slow)],
)
def test_a_server_starts_with_the_kit_and_nothing_more(tmp_path, huey):
    """The server has no further thread, no connection and no module ``tasks``."""
    project = Project(tmp_path, APP + huey, TASKS)
    ran = project.python(AFTER_START)
    assert (ran.out, ran.err) == (f"('quiet-locks',) {NOTHING_MORE}\n", "")


def test_the_name_of_the_package_means_the_app(tmp_path):
    """As well as the path that the Django page names."""
    app = 'INSTALLED_APPS += ["huey.contrib.djhuey", "huey_signals_kit"]\n'
    project = Project(tmp_path, app + REDIS, TASKS)
    ran = project.python(AFTER_START)
    assert (ran.out, ran.err) == (f"('quiet-locks',) {NOTHING_MORE}\n", "")


@pytest.mark.slow
def test_check_names_all_mistakes_and_a_server_starts_with_them(tmp_path):
    """The mistakes are in the settings, in a module of handlers, and in a task."""
    mistakes = 'HUEY_SIGNALS = {"preset": "quite-locks", "stale_lock": "release"}\n'
    tasks = TASKS.replace("@db_task()", '@db_task(lock_errors="dorp")')
    project = Project(tmp_path, APP + SQLITE + mistakes, tasks)
    project.write("store/huey_handlers.py", HANDLERS)
    ran = project.manage("check")
    assert ran.code == 1
    for text in (
        "(huey_signals.E002) HUEY_SIGNALS['stale_lock'] = 'release' is not an argument",
        "HINT: Did you mean 'stale_locks'?",
        "(huey_signals.E003) HUEY_SIGNALS['preset']: unknown preset 'quite-locks'. "
        "Did you mean 'quiet-locks'?",
        "(huey_signals.E009) The task store.tasks.import_orders has lock_errors='dorp'.",
        "HINT: Did you mean 'drop'?",
        "(huey_signals.E010) The handlers in store.huey_handlers are not registered: importing it "
        "raised ModuleNotFoundError: No module named 'no_module'",
    ):
        assert text in ran.err
    count = "from huey_signals_kit.registry import default_registry as on; print(len(on))"
    ran = project.python(AFTER_START + count)
    assert ran.out == f"None {NOTHING_MORE}\n0\n"
    assert "Did you mean 'quiet-locks'?" in ran.err


UNUSABLE = {
    "no class": (
        'HUEY = {"huey_class": "huey.NoHuey"}',
        "E011) No Huey can be made from the setting HUEY: AttributeError: module 'huey' has no",
    ),
    "no dict": ('HUEY = "shop"', "E011) No Huey can be made from the setting HUEY: AttributeError"),
    "no queues": (
        'DJANGO_HUEY = {"queues": 5}',
        "E011) No Huey can be made from the setting DJANGO_HUEY: AttributeError",
    ),
    "nothing": ("", "W003) The project has no Huey on which to install the kit."),
    "no package": (
        'import sys; sys.modules["django_huey"] = None; DJANGO_HUEY = {"queues": {}}',
        "W004) The setting DJANGO_HUEY is used by no package: django-huey is not installed.",
    ),
    "immediate": (
        'HUEY = {"huey_class": "huey.SqliteHuey", "name": "shop", "filename": ":memory:"}',
        "W001) The queue 'shop' is in immediate mode because DEBUG is True",
    ),
}


@pytest.mark.parametrize("name", slow_except(["no class", "nothing"], [*UNUSABLE]))
def test_settings_without_a_queue_that_works(tmp_path, name):
    """The system check reports them, and a server starts."""
    settings, said = UNUSABLE[name]
    app = 'INSTALLED_APPS += ["huey_signals_kit.contrib.django"]\n'
    project = Project(tmp_path, f"{app}{settings}\n")
    ran = project.python(
        """
import shop.wsgi
print("started")
from django.core.management import call_command
call_command("check", fail_level="WARNING")
""",
        check=False,
    )
    assert (ran.code, ran.out) == (1, "started\n")
    assert f"(huey_signals.{said}" in ran.err


@pytest.mark.slow
def test_the_command_line_of_the_project(tmp_path):
    """Its commands have no argument HUEY."""
    project = Project(tmp_path, APP + SQLITE, TASKS)
    project.python(
        "import shop.wsgi; from store.tasks import import_orders as task; task.revoke();"
        "task.huey.revoke_by_id('5f0c1f7e-0d4c-4c55-9d53-1f3f5b9c3a10')"
    )
    ran = project.manage("huey_signals", "report", "--details")
    assert (ran.code, ran.err) == (0, "")
    assert ran.row("store.tasks.import_orders") == ["active"]
    ran = project.manage("huey_signals", "sweep", "--settings=shop.settings", "--min-age", "2d")
    assert ran.out.splitlines()[-1] == "  manage.py huey_signals sweep --apply --min-age 2d"
    ran = project.manage("huey_signals", "locks", "release", "nothing")
    assert ran.err.endswith("is held; manage.py huey_signals locks lists all that are held\n")
    ran = project.python(
        "import shop.wsgi; from huey.contrib.djhuey import HUEY;"
        "from tests.support import put_kit_data; put_kit_data(HUEY, 'process:one', b'junk');"
        "from django.core.management import call_command; call_command('huey_signals', 'report')",
        check=False,
    )
    assert "manage.py huey_signals forget --record process:one --apply" in ran.words


@pytest.mark.slow
def test_queues_of_django_huey(tmp_path):
    """Each has its own arguments over the common ones, and its name in the command line."""
    queue = '{"huey_class": "huey.SqliteHuey", "filename": BASE_DIR / "q.db", "immediate": False}'
    project = Project(
        tmp_path,
        f"""
INSTALLED_APPS += ["django_huey", "huey_signals_kit.contrib.django"]
import sys; sys.modules["huey_monitor"] = None  # would import djhuey
DJANGO_HUEY = {{"queues": {{"mails": {queue}, "bulk-mails": {queue}}}}}
HUEY_SIGNALS = {{"sentry": False, "queues": {{"mails": {{"preset": "observe"}}}}}}
""",
    )
    ran = project.python("""
import shop.wsgi, sys
from django_huey import get_queue
from huey_signals_kit import get_kit
for name in ("mails", "bulk-mails"):
    settings = get_kit(get_queue(name)).settings
    print(name, settings.preset, settings.sentry)
print("huey.contrib.djhuey" in sys.modules)
""")
    assert ran.out.splitlines() == [
        "mails ('observe',) False",
        "bulk-mails ('quiet-locks',) False",
        "False",
    ]
    ran = project.manage("huey_signals", "report", "--queue", "bulk-mails")
    assert (ran.code, "Queue bulk-mails, storage sqlite;" in ran.out) == (0, True)
    ran = project.manage("huey_signals", "report", "--queue=mail")
    assert (ran.code, "Did you mean 'mails'?" in ran.err) == (2, True)
    ran = project.manage("huey_signals", "locks")
    assert (ran.code, "'bulk-mails', 'mails'" in ran.err) == (2, True)
    ran = project.command("report", "django_huey:bulk-mails")
    assert (ran.code, "Queue bulk-mails, storage sqlite;" in ran.out) == (0, True)
    ran = project.command("report", "django_huey:mail")
    assert (ran.code, "Did you mean 'mails'?" in ran.err) == (2, True)
    ran = project.command("report", "django_huey")
    assert (ran.code, "django_huey:mails, django_huey:bulk-mails" in ran.err) == (2, True)


def test_without_the_extra_the_command_names_it(tmp_path):
    """The project runs without typer and rich; only the command needs them."""
    project = Project(tmp_path, APP + SQLITE + "import sys\nsys.modules['typer'] = None\n")
    ran = project.manage("huey_signals", "report")
    assert ran.code == 1
    assert "pip install 'huey-signals-kit[cli]'" in ran.err
