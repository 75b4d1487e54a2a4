"""The tools in the tests of a Django project, with pytest-django and with Django's own runner."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.testing.projects import pytest_in, python

pytest.importorskip("django")
pytest.importorskip("pytest_django")

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "huey.contrib.djhuey",
    "huey_signals_kit.contrib.django",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
HUEY = {"huey_class": "huey.MemoryHuey", "name": "shop", "immediate": True}
HUEY_SIGNALS = {"preset": "observe"}
USE_TZ = True
"""
JOBS = """
from django.contrib.auth.models import User
from huey.contrib.djhuey import db_task, lock_task
from huey_signals_kit import on

@db_task()
@lock_task("import")
def import_orders(): ...

@on("locked")
def note(event):
    User.objects.create(username=f"skipped {User.objects.count()}")
"""
WITH_FIXTURES = """
import pytest
from django.contrib.auth.models import User
from django.test import TestCase
from huey.contrib.djhuey import HUEY
from huey_signals_kit import get_kit
from jobs import import_orders

pytestmark = pytest.mark.django_db


@pytest.mark.django_db
def test_fixture(huey_signals, huey_lock):
    assert huey_signals.huey is HUEY
    assert huey_signals.kit.settings.preset == ("observe",)
    with huey_lock("import"):
        import_orders()
    assert huey_signals.skips(import_orders, lock="import") == 1
    assert huey_signals.handler_errors() == 0
    assert User.objects.count() == 1


class FixtureTest(TestCase):
    @pytest.fixture(autouse=True)
    def _record(self, huey_signals, huey_lock):
        self.recorded, self.lock = huey_signals, huey_lock

    def test_a_test_case(self):
        with self.lock("import"):
            import_orders()
        self.assertEqual(self.recorded.skips(import_orders), 1)
        self.assertEqual(User.objects.count(), 1)


def test_afterwards():
    assert not get_kit(HUEY).is_test
    assert User.objects.count() == 0
"""
WITHOUT_FIXTURES = """
from contextlib import ExitStack

from django.contrib.auth.models import User
from django.test import TestCase, TransactionTestCase, override_settings
from huey.contrib.djhuey import HUEY
from huey_signals_kit import get_kit
from huey_signals_kit.testing import held_lock, installed, record
from jobs import import_orders


class Skips:
    def setUp(self):
        stack = ExitStack()
        self.addCleanup(stack.close)
        self.recorded = stack.enter_context(record(HUEY, "quiet-locks"))

    def test_first(self):
        with held_lock(HUEY, "import"):
            import_orders()
        self.assertEqual(self.recorded.skips("import_orders", lock="import"), 1)
        self.assertEqual(self.recorded.suppressed(import_orders), 1)
        self.assertEqual(self.recorded.handler_errors(), 0)
        self.assertEqual(User.objects.count(), 1)

    test_second = test_first


class OneTransaction(Skips, TestCase):
    @classmethod
    def setUpTestData(cls):
        with installed(HUEY) as kit, held_lock(HUEY, "import"):
            import_orders()
            assert kit.count("huey_lock_skips_total") == 1
        User.objects.all().delete()


class ManyTransactions(Skips, TransactionTestCase):
    def tearDown(self):
        assert get_kit(HUEY) is self.recorded.kit


class Overridden(TestCase):
    @override_settings(HUEY_SIGNALS={"preset": "brief-locks"})
    def test_before(self):
        with record(HUEY) as recorded:
            self.assertEqual(recorded.kit.settings.preset, ("brief-locks",))

    def test_within(self):
        with record(HUEY) as recorded:
            with (
                self.assertRaisesRegex(RuntimeError, "override the setting before"),
                override_settings(HUEY_SIGNALS={"preset": "tidy-tokens"}),
            ):
                self.fail("the block began")
            self.assertIs(get_kit(HUEY), recorded.kit)
            self.assertEqual(recorded.kit.settings.preset, ("observe",))

    def tearDown(self):
        self.assertFalse(get_kit(HUEY).is_test)


class Without(TestCase):
    def test_the_kit_of_the_project(self):
        self.assertEqual(get_kit(HUEY).settings.preset, ("observe",))
"""


@pytest.fixture
def project(tmp_path):
    """A project with the Django app of the kit, and a handler that writes to the database."""
    for name, text in {
        "settings.py": SETTINGS,
        "jobs.py": JOBS,
        "test_with.py": WITH_FIXTURES,
        "test_without.py": WITHOUT_FIXTURES,
        "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\npythonpath = .\n",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.slow
def test_pytest_django_needs_no_configuration_of_the_kit(project):
    """The fixtures find the Huey of djhuey; a handler's rows are gone with the test's."""
    ran = pytest_in(project)
    assert set(ran.outcomes.values()) == {"passed"}, ran.out
    assert "10 passed in" in ran.out


@pytest.mark.slow
def test_django_s_own_runner_needs_no_pytest(project):
    """In `setUp` and in the data of a class, with TestCase and TransactionTestCase."""
    ran = python(
        project, "-m", "django", "test", "-p", "test_without.py", DJANGO_SETTINGS_MODULE="settings"
    )
    assert (ran.code, "Ran 7 tests" in ran.out) == (0, True), ran.out


@pytest.mark.slow
def test_the_default_queue_of_django_huey_is_found(project):
    """In a project without the setting HUEY."""
    if find_spec("django_huey") is None:
        pytest.skip("needs django-huey")
    for path in project.glob("test_*.py"):
        path.unlink()
    text = SETTINGS.replace('    "huey.contrib.djhuey",\n', '    "django_huey",\n').replace(
        "HUEY =", "_ ="
    )
    queues = '{"mails": {"huey_class": "huey.MemoryHuey", "name": "m", "immediate": True}}'
    (project / "settings.py").write_text(
        f'{text}\nDJANGO_HUEY = {{"default": "mails", "queues": {queues}}}\n'
    )
    (project / "test_queue.py").write_text(
        "def test_queue(huey_signals, huey):\n"
        "    assert huey_signals.huey is huey\n"
        "    assert huey.name == 'm'\n"
    )
    ran = pytest_in(project)
    assert ran.outcomes == {"test_queue": "passed"}, ran.out
