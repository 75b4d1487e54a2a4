"""The system checks."""

from __future__ import annotations

import sys
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from unittest.mock import patch

from django.conf import settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase, override_settings

from huey_signals_kit import Registry, get_kit, install_handlers, uninstall_handlers
from huey_signals_kit._install import restore_kit
from huey_signals_kit.contrib.django.management.commands.huey_signals import Command
from huey_signals_kit.testing import installed

HUEY = settings.HUEY
PATH = "tests.django.suite.objects"
INSTALL = "Run: pip install 'huey-signals-kit[prometheus]'"
MISTAKES = {
    # setting: the code, parts of the text and of the hint
    "a list": (["preset"], "E001", "is not a dict", "Write HUEY_SIGNALS = {"),
    "a string": ("observe", "E001", "is not a dict", "Write HUEY_SIGNALS = {"),
    "a number": (5, "E001", "is not a dict", "Write HUEY_SIGNALS = {"),
    "queues": ({"queues": []}, "E001", "HUEY_SIGNALS['queues'] is", "'queues'] = {"),
    "a queue": ({"queues": {"suite": 1}}, "E001", "['suite'] is", "['suite'] = {"),
    "argument": ({"presets": 1}, "E002", "presets", "Did you mean 'preset'?"),
    "no string": ({3: 1}, "E002", "HUEY_SIGNALS[3]", "The arguments are"),
    "of a queue": ({"queues": {"suite": {"sink": 1}}}, "E002", "['suite']['sink']", "'sinks'?"),
    "preset": ({"preset": "quite-locks"}, "E003", "Did you mean 'quiet-locks'?", "It takes a name"),
    "no preset": ({"preset": None}, "E003", "got None", "It takes a name"),
    "presets": ({"preset": ["observe", 7]}, "E003", "got 7", "It takes a name"),
    "registry": ({"preset": f"{PATH}.number"}, "E003", "got 3", "It takes a name"),
    "sink": ({"sinks": "promethues"}, "E004", "Did you mean 'prometheus'?", "It takes names"),
    "no sink": ({"sinks": [object]}, "E004", "no method send", "It takes names"),
    "extra": ({"sinks": "prometheus"}, "E005", "which is not installed.", INSTALL),
    "constructor": (
        {"sinks": f"{PATH}.BrokenSink"},
        "E004",
        "calling the class tests.django.suite.objects.BrokenSink without arguments raised "
        "ConnectionError: no server (",
        "Correct the class",
    ),
    "module": ({"preset": "shop.nothing"}, "E006", "No module named 'shop'", "Write the path"),
    "attribute": ({"registry": f"{PATH}.nothing"}, "E006", "does not define", "Write the path"),
    "no path": ({"registry": "handlers"}, "E006", "'handlers'", "Write the path"),
    "class": ({"lock_exceptions": ["Busy"]}, "E006", "'Busy'", "Write the path"),
    "no exception": ({"lock_exceptions": f"{PATH}.number"}, "E007", "3", "['shop.errors.Busy']"),
    "no registry": ({"registry": f"{PATH}.number"}, "E007", "got 3", "the path of a Registry."),
    "flag": ({"sentry": "no"}, "E007", "got 'no'", "It takes True or False."),
    "replace": ({"replace": 1}, "E007", "got 1", "It takes True or False."),
    "seconds": ({"stale_after": 5}, "E007", "got 5", "at least 30."),
    "interval": (
        {"sweep_interval": "1h"},
        "E007",
        "sweep_interval=",
        "It takes a number of seconds above 0",
    ),
    "tokens": (
        {"clean_tokens": "allways"},
        "E007",
        "Did you mean 'always'?",
        "'generated', 'always'",
    ),
    "locks": ({"stale_locks": "free"}, "E007", "'free'", "It takes 'report' or 'release'."),
    "queue": ({"queues": {"suit": {}}}, "E008", "no such queue", "Did you mean 'suite'?"),
}


class CommandLine(SimpleTestCase):
    """``call_command("huey_signals", ...)``."""

    def test_an_exit_code_is_an_exception(self):
        """The code is that for a queue in memory, which no other process can read."""
        if find_spec("typer") is None:
            self.skipTest("the extra cli is not installed")
        output = StringIO()
        with self.assertRaises(CommandError) as raised:
            call_command("huey_signals", "report", stderr=output)
        self.assertEqual(raised.exception.returncode, 2)
        self.assertIn("its data is in the memory of the process", output.getvalue())

    def test_options_in_each_form_that_django_takes(self):
        """The queue comes before or after the command, and each value with and without a space."""
        if find_spec("typer") is None:
            self.skipTest("the extra cli is not installed")
        program = ["manage.py", "huey_signals"]
        for words in (
            ["--queue=suit", "report"],
            ["--queue", "suit", "report"],
            ["report", "--queue=suit"],
            ["report", "--queue", "suit"],
            ["report", "-v2", "--queue=suit"],
            ["-v", "2", "--queue=suit", "report"],
        ):
            output = StringIO()
            with self.subTest(words), redirect_stderr(output), self.assertRaises(SystemExit):
                Command().run_from_argv([*program, *words])
            self.assertIn("Did you mean 'suite'?", output.getvalue())

    def test_a_missing_package_is_an_exception(self):
        """It says what to install, and ends no process."""
        modules = {name: each for name, each in sys.modules.items() if ".cli" not in name}
        with (
            patch.dict(sys.modules, {**modules, "typer": None}, clear=True),
            self.assertRaises(CommandError) as raised,
        ):
            call_command("huey_signals", "report")
        self.assertEqual(raised.exception.returncode, 1)
        self.assertIn("run: pip install 'huey-signals-kit[cli]'", str(raised.exception))


def messages():
    """Return what the checks of the app report."""
    return run_checks(tags=["huey_signals"])


class Checks(SimpleTestCase):
    """What ``manage.py check`` says."""

    def test_nothing_is_wrong(self):
        """The checks find nothing in this project."""
        self.assertEqual(messages(), [])

    def test_each_mistake_in_the_setting_has_a_hint(self):
        """No mistake stops the project; the log says it too."""
        for name, (setting, code, text, hint) in MISTAKES.items():
            with (
                self.subTest(name),
                patch.dict(sys.modules, {"prometheus_client": None}),
                self.assertLogs("huey_signals_kit", "ERROR"),
                override_settings(HUEY_SIGNALS=setting),
            ):
                [message] = messages()
                self.assertEqual(message.id, f"huey_signals.{code}")
                self.assertIn(text, message.msg)
                self.assertIn(hint, message.hint)
                self.assertRegex(message.msg, r"[.!?]$")
                self.assertRegex(message.hint, r"[^.][.!?]$|^Run: .*'$")

    def test_all_mistakes_are_named_at_once(self):
        """The checks report every mistake, not only the first."""
        setting = {"preset": "x", "sinks": "y", "stale_after": 0, "queues": {"z": {}}}
        with (
            self.assertLogs("huey_signals_kit", "ERROR"),
            override_settings(HUEY_SIGNALS=setting),
        ):
            codes = [message.id[-4:] for message in messages()]
        self.assertEqual(codes, ["E003", "E004", "E007", "E008"])

    def test_two_kits_on_one_queue(self):
        """The code has installed one kit, and the setting has other arguments."""
        with override_settings():
            uninstall_handlers(HUEY)
            with (
                install_handlers(HUEY, registry=Registry("of the code")),
                self.assertLogs("huey_signals_kit", "WARNING"),
                override_settings(HUEY_SIGNALS={"preset": "observe"}),
            ):
                [message] = messages()
        self.assertEqual(message.id, "huey_signals.W002")
        self.assertIn("'suite'", message.msg)
        self.assertIn("Remove the call of install_handlers()", message.hint)
        self.assertNotIn("replace=True", message.msg)
        with override_settings(HUEY_SIGNALS={}):
            pass

    def test_a_kit_that_the_code_has_replaced(self):
        """The code replaces the kit after Django has started, as in a module ``tasks``."""
        kit = get_kit(HUEY)
        with install_handlers(HUEY, preset="observe", replace=True):
            [message] = messages()
            with override_settings(HUEY_SIGNALS={"preset": "observe"}):
                pass
        self.assertEqual(message.id, "huey_signals.W002")
        self.assertIn("the code has replaced the kit of HUEY_SIGNALS", message.msg)
        restore_kit(kit)

    def test_the_kit_of_a_test_is_none_of_these(self):
        """It comes from no code of the project, and the test restores the former kit."""
        kit = get_kit(HUEY)
        with installed(HUEY, preset="observe"):
            self.assertEqual(messages(), [])
        self.assertIs(get_kit(HUEY), kit)

    def test_a_setting_that_is_misspelt(self):
        """It would have no effect; other settings that begin with HUEY are left alone."""
        with override_settings(HUEY_SIGNAL={"preset": "observe"}, HUEY_SIGNALS_PRESET="observe"):
            [message] = messages()
        self.assertEqual(message.id, "huey_signals.W006")
        self.assertIn("The setting HUEY_SIGNAL is unknown", message.msg)
        self.assertEqual(message.hint, "Did you mean HUEY_SIGNALS?")

    def test_a_task_with_a_wrong_verdict_for_its_lock_errors(self):
        """The value is text, a number or a flag."""
        for option, hint in (("dorp", "Did you mean 'drop'?"), (-1, "seconds"), (True, "Allowed")):
            with self.subTest(option=option):
                task = HUEY.task(lock_errors=option)(wrong)
                [message] = messages()
                task.unregister()
                self.assertEqual(message.id, "huey_signals.E009")
                self.assertIn(f"{__name__}.wrong has lock_errors={option!r}", message.msg)
                self.assertIn(hint, message.hint)

    def test_a_task_with_a_verdict(self):
        """Each valid value passes the checks."""
        for option in ("keep", "drop", 60, 0.5, None):
            task = HUEY.task(lock_errors=option)(wrong)
            self.assertEqual(messages(), [])
            task.unregister()


def wrong():
    """Run."""
