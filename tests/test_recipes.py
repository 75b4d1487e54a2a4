"""The recipes do what their index says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parent.parent / "recipes"
PROMISED = dict(
    re.findall(
        r"^## \[(\w+\.py)\]\(\1\).*?^```text\n(.*?)^```",
        (RECIPES / "README.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
)


def test_every_recipe_is_in_the_index():
    """And the index lists no recipe that is not there."""
    assert set(PROMISED) == {path.name for path in RECIPES.glob("*.py")}


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_a_recipe_prints_what_the_index_promises(name, tmp_path):
    """Run from an empty folder, as a user would."""
    ran = subprocess.run(
        [sys.executable, RECIPES / name], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert (ran.stdout, ran.returncode) == (PROMISED[name], 0), ran.stderr
