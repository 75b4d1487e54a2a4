"""The project in `recipes/testing`, whose own tests are run as its page says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.testing.projects import pytest_in, python

RECIPE = Path(__file__).parents[2] / "recipes" / "testing"
TESTS = sum(path.read_text().count("def test_") for path in RECIPE.glob("test_*.py"))


@pytest.fixture
def shop(tmp_path):
    """A copy of the folder, so that the run writes nothing into it."""
    return shutil.copytree(
        RECIPE, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache")
    )


@pytest.mark.slow
def test_the_tests_of_the_recipe_pass_in_two_processes(shop):
    """With pytest-xdist."""
    ran = pytest_in(shop, "-n2")
    assert (ran.code, f"{TESTS} passed in" in ran.out) == (0, True), ran.out


@pytest.mark.slow
def test_they_pass_in_one_process_and_without_pytest(shop):
    """The TestCase also runs where pytest is not imported."""
    ran = pytest_in(shop)
    assert (ran.code, f"{TESTS} passed in" in ran.out) == (0, True), ran.out
    ran = python(shop, "-m", "unittest", "test_shop_unittest", SHOP_TESTING="1")
    assert (ran.code, "Ran 1 test" in ran.out) == (0, True), ran.out


def test_the_page_shows_a_test_and_an_error_as_they_are():
    """The first test of the page is one of the project."""
    page = (RECIPE / "README.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    lines = [line for line in code.splitlines() if line.strip()]
    tests = (RECIPE / "test_shop.py").read_text()
    assert [line for line in lines if line not in tests] == []
    for name in ("skips", "errors", "suppressed", "tokens", "handler_errors", "signals"):
        assert f"`{name}(" in page
