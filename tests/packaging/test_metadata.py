"""What ``pyproject.toml`` and the workflows of ``.github/`` say agrees with the project."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import huey_signals_kit

yaml = pytest.importorskip("yaml")
tomllib = pytest.importorskip("tomllib")  # in Python since 3.11

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text())
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}
STEPS = [
    (name, step)
    for name, workflow in sorted(WORKFLOWS.items())
    for job in workflow["jobs"].values()
    for step in job.get("steps", [job])
]


def classified(prefix):
    found = [each.removeprefix(prefix) for each in PROJECT["project"]["classifiers"]]
    return [each for each in found if re.fullmatch(r"\d+\.\d+", each)]


def test_the_version_is_in_one_place():
    """The metadata take it from the package, and the changelog begins with it."""
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "huey_signals_kit/__init__.py"
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first[1] == huey_signals_kit.__version__


def test_the_tests_run_on_every_python_that_the_classifiers_name():
    """And on no other; the lowest is that of `requires-python`."""
    pythons = classified("Programming Language :: Python :: ")
    jobs = WORKFLOWS["tests.yml"]["jobs"]
    assert jobs["quick"]["strategy"]["matrix"]["python"] == pythons
    assert PROJECT["project"]["requires-python"] == f">={pythons[0]}"
    (setup,) = (
        step for step in jobs["everything"]["steps"] if "setup-python" in step.get("uses", "")
    )
    assert sorted(setup["with"]["python-version"].split()) == sorted(pythons)


def test_the_lowest_django_of_the_classifiers_is_that_of_the_extra():
    """The extra has no upper bound."""
    (requirement,) = PROJECT["project"]["optional-dependencies"]["django"]
    assert requirement == f"django>={classified('Framework :: Django :: ')[0]}"


def test_all_has_every_extra_that_users_install():
    """Only the extra for tests is not in it."""
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = re.search(r"\[(.+)\]", everything)[1].split(",")
    assert sorted(named) == sorted(set(extras) - {"all", "test"})


def paths_in(command):
    """The files that a command names: paths with a folder, and modules of the project's tests."""
    words = [word for word in shlex.split(command, comments=True) if not word.startswith("dist")]
    for before, word in zip(["", *words], words, strict=False):
        if before == "-m" and word.startswith("tests"):
            yield word.replace(".", "/")
        elif re.match(r"\.?\w+/", word) or word.endswith((".py", ".toml", ".sh")):
            yield word


def test_a_workflow_runs_only_files_that_exist():
    """The commands and the workflows that it calls."""
    commands = [step["run"] for _, step in STEPS if "run" in step]
    named = {path for command in commands for path in paths_in(command)}
    named |= {step["uses"] for _, step in STEPS if step.get("uses", "").startswith("./")}
    assert ".ci/run" in named
    for path in named:
        assert any((ROOT / f"{path}{end}").exists() for end in ("", ".py")), path


def test_each_action_is_pinned_by_the_hash_of_a_commit():
    """With its version beside it, and by the same hash in every workflow."""
    text = "".join(path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    used = re.findall(r"uses: ([\w./-]+@.+)", text)
    pinned = [re.fullmatch(r"([\w/-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in used]
    assert len(used) >= 5
    assert all(pinned), used
    assert len({each[1] for each in pinned}) == len(set(used))


def test_only_the_last_job_of_a_release_may_publish():
    """It has no password, and needs the tests and the build."""
    jobs = WORKFLOWS["release.yml"]["jobs"]
    permitted = [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})]
    assert permitted == ["publish"]
    assert (jobs["publish"]["needs"], jobs["build"]["needs"]) == ("build", "tests")
    assert "secrets" not in (ROOT / ".github" / "workflows" / "release.yml").read_text()
