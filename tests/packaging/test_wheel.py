"""The wheel and the sdist that are built can be installed, alone and with each extra."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import huey_signals_kit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
MOST_KILOBYTES = 600
"""The bound of the wheel without the files of the web interface."""

EXTRAS = {
    "": ["huey_signals_kit.kit", "huey_signals_kit.upkeep._names", "huey_signals_kit.testing"],
    "cli": ["huey_signals_kit.cli"],
    "prometheus": ["huey_signals_kit.sinks.prometheus"],
    "opentelemetry": ["huey_signals_kit.sinks.opentelemetry"],
    "sentry": ["sentry_sdk", "huey_signals_kit.sinks"],
    "django": ["django", "huey_signals_kit.contrib.django"],
    "web": ["huey_signals_kit.web", "huey_signals_kit.web._wsgi"],
}
SMOKE = """
import sys
from importlib import import_module, metadata
from pathlib import Path
for name in sys.argv[1:]:
    import_module(name)
import huey, huey_signals_kit
assert Path(huey_signals_kit.__file__).is_relative_to(sys.prefix), huey_signals_kit.__file__
assert (Path(huey_signals_kit.__file__).parent / "py.typed").exists()
with huey_signals_kit.install_handlers(huey.MemoryHuey("x")) as kit:
    assert kit.count("huey_lock_skips_total") == 0
print(huey_signals_kit.__version__, metadata.version("huey-signals-kit"))
"""


def run(*command, cwd=None):
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The wheel, built from the sdist and the sdist; built once in a run of tests."""
    pytest.importorskip("build")
    run_id = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = tmp_path_factory.getbasetemp().parent / f"dist-{run_id}"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT))
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_the_index_takes_the_wheel_and_the_sdist(built):
    """Their descriptions can be shown."""
    pytest.importorskip("twine")
    printed = run(sys.executable, "-m", "twine", "check", "--strict", *map(str, built))
    assert printed.count("PASSED") == 2


def test_the_sdist_has_the_tests_and_the_pages(built):
    """So that a distribution can run them."""
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "recipes/README.md",
        ".ci/run",
        "tests/test_readme.py",
    }
    assert expected <= names


def test_the_wheel_is_small(built):
    """Without the files of the web interface, and with nothing but the package in it."""
    with zipfile.ZipFile(built[0]) as wheel:
        files = wheel.infolist()
    assert {each.filename.split("/")[0].partition("-")[0] for each in files} == {"huey_signals_kit"}
    page = sum(each.compress_size for each in files if "_kit/web/" in each.filename)
    kilobytes = (built[0].stat().st_size - page) / 1000
    print(f"the wheel has {kilobytes:.0f} kB without the web interface ({page / 1000:.0f} kB)")
    assert kilobytes < MOST_KILOBYTES


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_wheel_is_installed_in_a_fresh_environment(built, extra, tmp_path):
    """Alone and with each extra: its modules can be imported, and the command says its version."""
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env"))
    python = str(tmp_path / "env" / "bin" / "python")
    wheel = f"{built[0]}[{extra}]" if extra else str(built[0])
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile")
    run(*pip, wheel)
    version = huey_signals_kit.__version__
    assert run(python, "-c", SMOKE, *EXTRAS[extra], cwd=tmp_path).split() == [version] * 2
    command = str(Path(python).with_name("huey-signals"))
    if extra == "cli":
        assert run(command, "--version", cwd=tmp_path).startswith(f"huey-signals-kit {version},")
    else:
        ran = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=60)
        assert (ran.returncode, "huey-signals-kit[cli]" in ran.stderr) == (1, True), ran.stderr
