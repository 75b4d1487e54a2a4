"""The app in a project's own tests, as ``manage.py test`` runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.consumer.harness import ROOT

pytest.importorskip("django")

SUITE = "tests.django.suite"


@pytest.mark.slow
def test_a_project_tests_with_the_app():
    """Settings that are overridden, system checks, and connections around handlers."""
    ran = subprocess.run(
        [sys.executable, "-m", "django", "test", "--pattern=cases_*.py", SUITE],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": f"{SUITE}.settings"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^Ran \d\d+ tests .*\n\nOK( \(skipped=\d+\))?$", ran.stderr, re.MULTILINE)
