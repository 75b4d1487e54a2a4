"""The command line on a Django project, as ``django-admin startproject`` makes it."""

from __future__ import annotations

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)
pytest.importorskip("django")

from tests.django.project import SETTING, Project
from tests.selection import slow_except

HUEY = "huey.contrib.djhuey.HUEY"
SETTINGS = """
INSTALLED_APPS += ["huey.contrib.djhuey"]
HUEY = {"huey_class": "huey.SqliteHuey", "name": "shop", "filename": BASE_DIR / "queue.db"}
"""
A_QUEUE = 'HUEY["immediate"] = False\n'
AN_INSTANCE = """
from huey import SqliteHuey
HUEY = SqliteHuey("shop", filename=BASE_DIR / "queue.db")
"""
TASKS = """
from django.contrib.auth.models import User
from huey.contrib.djhuey import db_task

@db_task()
def paused():
    return User
"""
PAUSE = """
import django
django.setup()
from store.tasks import paused
paused.revoke()
"""
OLD_SWITCH = """
from huey.contrib.djhuey import HUEY
HUEY.put("rt:store.old.gone", (None, False))
HUEY.put("rt:site_jobs.nightly", (None, False))
"""


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, SETTINGS, TASKS)


@pytest.mark.parametrize("more", slow_except([A_QUEUE], [A_QUEUE, AN_INSTANCE]))
def test_the_tasks_of_the_project_are_known(project, more):
    """The command runs in the project's folder, with the setting HUEY a dict or a Huey."""
    project.add(more)
    project.python(PAUSE)
    ran = project.command("report", HUEY, "--details")
    assert (ran.code, ran.err) == (0, "")
    assert ran.row("store.tasks.paused") == ["active"]
    assert "not imported here" not in ran.words


@pytest.mark.slow
def test_a_module_that_needs_django_set_up(project):
    """The command imports the module again after it has set up Django."""
    project.add(A_QUEUE)
    with (project.path / "store" / "tasks.py").open("a") as file:
        file.write("from huey.contrib.djhuey import HUEY\n")
    ran = project.command("report", "store.tasks.HUEY")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.slow
def test_only_switches_that_stop_nothing_call_for_a_person(project):
    """A removed task calls for a person; a task whose module was not imported does not."""
    project.add(A_QUEUE)
    (project.path / "site_jobs.py").touch()
    project.python(PAUSE + OLD_SWITCH)
    ran = project.command("report", HUEY, "--details")
    assert ran.code == 1
    assert ran.row("store.old.gone") == ["active,", "no", "such", "task"]
    assert ran.row("site_jobs.nightly") == ["active"]
    assert "modules are not imported here: site_jobs.nightly." in ran.words
    rows = project.command("tokens", "list", HUEY).out.splitlines()
    states = {row.split()[-1]: row.split()[1] for row in rows[1:]}
    assert states == {
        "store.old.gone": "ownerless",
        "site_jobs.nightly": "active",
        "store.tasks.paused": "active",
    }


@pytest.mark.slow
def test_a_backend_of_django_tasks_declares_no_other_task(project):
    """The backend's task does not mean that all tasks are known, as where their import fails."""
    project.add(A_QUEUE)
    project.python(PAUSE)
    # As huey.contrib.djhuey.tasks_backend does, where Django or another package has these.
    (project.path / "store" / "tasks.py").write_text(
        "from huey.contrib.djhuey import HUEY\n"
        "HUEY.task(name='djtasks.run')(print)\n"
        "import no_such_module\n"
    )
    ran = project.command("report", HUEY, "--details")
    assert ran.code == 0
    assert ran.row("store.tasks.paused") == ["active"]
    assert ran.err.startswith(
        "huey-signals report: not all tasks of the Django project are known: importing its tasks "
        "failed (store/tasks.py, line 3):"
    )


@pytest.mark.parametrize("settings", slow_except([None], [None, ""]))
def test_without_the_setting_it_says_what_is_missing(project, settings):
    """The message suggests the settings module that manage.py names."""
    ran = project.command("report", HUEY, settings=settings)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"huey-signals report: {HUEY} needs Django's settings, and the environment variable "
        f"{SETTING} is not set. Set it to the settings module of the project: "
        f"{SETTING}=shop.settings\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("shop.setings", "no module 'shop.setings' in {here} or on Python's path. Did you mean"),
        ("shp.settings", "no module 'shp' in {here} or on Python's path. Did you mean"),
    ],
)
def test_a_setting_that_names_no_module(project, settings, said):
    """The message says where the module was looked for."""
    ran = project.command("locks", HUEY, settings=settings)
    assert (ran.code, ran.out) == (2, "")
    assert f"{SETTING} is {settings!r}, and there is {said.format(here=project.path)}" in ran.err
    assert "Did you mean 'shop.settings'?" in ran.err


def test_another_folder(project, tmp_path_factory):
    """The message says that the command must run in the project's folder."""
    ran = project.command("locks", HUEY, cwd=tmp_path_factory.mktemp("elsewhere"))
    assert (ran.code, ran.out) == (2, "")
    assert "Run this command in the folder of manage.py" in ran.err


def test_immediate_mode_of_a_new_project(project):
    """The command refuses the Huey, and names the setting that ends this mode."""
    ran = project.command("report", HUEY)
    assert (ran.code, ran.out) == (2, "")
    assert "is in immediate mode" in ran.err
    assert ran.err.endswith("add 'immediate': False if a consumer works on the queue\n")


@pytest.mark.slow
def test_a_setting_that_has_nothing_to_do_with_the_huey(project):
    """The command takes another Huey, and says that the tasks of Django are missing."""
    (project.path / "plain.py").write_text(
        "from huey import SqliteHuey\nhuey = SqliteHuey('plain', filename='plain.db')\n"
    )
    ran = project.command("locks", "plain.huey", settings="no_such.settings")
    assert (ran.code, ran.out) == (0, "No locks.\n")
    assert ran.err.startswith(
        "huey-signals locks: not all tasks of the Django project are known: DJANGO_SETTINGS_MODULE "
        "is 'no_such.settings', and there is no module 'no_such'"
    )
