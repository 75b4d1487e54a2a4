"""Type checkers accept right uses of the API and refuse wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mypy_accepts_right_code_and_refuses_each_wrong_line() -> None:
    """`api.py` has no error; every line of `refused.py` that ignores one needs to."""
    api = pytest.importorskip("mypy.api")
    config = str(HERE.parents[1] / "pyproject.toml")
    output, errors, code = api.run(
        ["--config-file", config, "--warn-unused-ignores", *map(str, sorted(HERE.glob("*.py")))]
    )
    assert (code, errors) == (0, ""), output
    assert (HERE / "refused.py").read_text().count("# type: ignore[") == 30
