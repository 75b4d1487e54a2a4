"""The modules ``huey_handlers`` and ``tasks`` of the apps, when one of them raises."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from django.core.checks import run_checks
from django.test import SimpleTestCase, modify_settings, override_settings

from huey_signals_kit.contrib.django._installation import installation
from huey_signals_kit.registry import default_registry

HANDLER = "from huey_signals_kit import on\n@on('error')\ndef handle(event): ...\n"
MODULES = ("alpha", "beta", "settings_module")
EXIT = "import sys\nsys.exit('no configuration')\n"


class BrokenModules(SimpleTestCase):
    """The apps ``alpha`` and ``beta``, whose modules each test writes."""

    def setUp(self):
        """Make the two apps, and forget their modules and handlers at the end."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for app in ("alpha", "beta"):
            self.write(f"{app}/__init__.py", "")
        restore = default_registry.restore_point()
        self.addCleanup(installation.start)
        self.addCleanup(restore)
        path = patch.object(sys, "path", [folder.name, *sys.path])
        path.start()
        self.addCleanup(path.stop)
        self.addCleanup(self.forget)

    def forget(self):
        """Remove the modules of this test from the imported ones."""
        for name in [name for name in sys.modules if name.split(".")[0] in MODULES]:
            del sys.modules[name]

    def write(self, file, text):
        """Write a module."""
        path = self.folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def check(self):
        """Return the messages of the command ``check`` in the project with both apps."""
        with (
            modify_settings(INSTALLED_APPS={"append": ["alpha", "beta"]}),
            patch.object(sys, "argv", ["manage.py", "check"]),
        ):
            return run_checks(tags=["huey_signals"])

    def test_handlers_of_another_app_stay(self):
        """An error in alpha removes the handler of alpha, not that of beta, which alpha imports."""
        self.write("beta/huey_handlers.py", HANDLER)
        self.write("alpha/huey_handlers.py", f"import beta.huey_handlers\n{HANDLER}1 / 0\n")
        before = list(default_registry)
        with self.assertLogs("huey_signals_kit", "ERROR"):
            [message] = self.check()
        self.assertEqual(message.id, "huey_signals.E010")
        new = [each.function.__module__ for each in default_registry if each not in before]
        self.assertEqual(new, ["beta.huey_handlers"])

    def test_handlers_that_end_the_process(self):
        """SystemExit counts as an error of the module."""
        self.write("alpha/huey_handlers.py", EXIT)
        with self.assertLogs("huey_signals_kit", "ERROR"):
            [message] = self.check()
        self.assertEqual(message.id, "huey_signals.E010")
        self.assertIn("SystemExit: no configuration", message.msg)

    def test_tasks_that_end_the_process(self):
        """SystemExit counts as an error of the module."""
        self.write("alpha/tasks.py", EXIT)
        [message] = self.check()
        self.assertEqual(message.id, "huey_signals.W005")
        self.assertIn("The tasks in alpha.tasks were not checked", message.msg)
        line = f"SystemExit: no configuration ({self.folder}/alpha/tasks.py, line 2)."
        self.assertTrue(message.msg.endswith(line), message.msg)

    def test_a_module_of_the_setting_that_ends_the_process(self):
        """SystemExit counts as an error of the module."""
        self.write("settings_module.py", EXIT)
        with (
            self.assertLogs("huey_signals_kit", "ERROR"),
            override_settings(HUEY_SIGNALS={"preset": "settings_module.registry"}),
        ):
            [message] = run_checks(tags=["huey_signals"])
        self.assertEqual(message.id, "huey_signals.E006")
        line = f"SystemExit: no configuration ({self.folder}/settings_module.py, line 2)."
        said = f"HUEY_SIGNALS['preset']: importing settings_module raised {line}"
        self.assertEqual(message.msg, said)
        self.assertIn("Correct settings_module;", message.hint)
