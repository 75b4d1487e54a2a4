"""`huey-signals demo`: the real command, its real consumers, a real store."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import redis

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from typer.testing import CliRunner

from huey_signals_kit.cli import app
from huey_signals_kit.cli._demo import command
from huey_signals_kit.cli._demo.consumer import Consumer
from huey_signals_kit.cli._demo.figures import Figures
from huey_signals_kit.cli._demo.redis import mask_url
from huey_signals_kit.cli._demo.rounds import Comparison
from huey_signals_kit.cli._demo.settings import Settings
from huey_signals_kit.cli._demo.storages import DemoStorage
from huey_signals_kit.cli._demo.work import Plan
from huey_signals_kit.cli._shared.exits import CommandError
from tests.selection import slow_except
from tests.support import wait_until

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "huey_signals_kit", "demo"]
SCRIPT = Path(sys.executable).with_name("huey-signals")
SECONDS = 60
WORK_OF_20 = {"locked": 12, "revoked": 3, "failing": 2, "succeeding": 3}
THREE_LINES = [
    "from huey_signals_kit import install_handlers",
    "# where your app makes its Huey, right after huey = RedisHuey(...) or the like:",
    'install_handlers(huey, preset="quiet-locks")',
]


class Terminal:
    """Runs the demo as a shell does, in a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: os.environ[name] for name in os.environ if name not in _DISPLAY},
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder),
        }
        self._started: list[subprocess.Popen[str]] = []

    @property
    def left(self) -> list[Path]:
        """What is left in the folder, but for the one of all consumers of this user, if empty."""
        ours = self.folder / f"huey-signals-{os.getuid()}"
        return [path for path in self.folder.rglob("*") if path != ours]

    def run(self, *arguments: str, command: list[str] = DEMO) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, command=command)
        out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(
        self, *arguments: str, command: list[str] = DEMO, **options: Any
    ) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {"env": self.environment, "text": True, **pipes, **options}
        self._started.append(subprocess.Popen([*command, *arguments], cwd=self.folder, **options))
        return self._started[-1]

    def start_midway(self, *arguments: str) -> tuple[subprocess.Popen[str], int]:
        """A demo with much work, and the pid of its consumer, which is in the midst of it."""
        process = self.start("--tasks", "6000", *arguments)
        wait_until(lambda: self._tally() > 0, SECONDS, "the consumer to begin")
        (consumer,) = _children(process.pid)
        return process, consumer

    def _tally(self) -> int:
        return sum(path.stat().st_size for path in self.folder.glob("*/*.tally"))

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


_DISPLAY = {"COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"}


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal whose programs find an empty folder for temporary files."""
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


@pytest.fixture(params=["sqlite", "redis"])
def storage(request: pytest.FixtureRequest) -> list[str]:
    """The arguments for each storage in turn."""
    if request.param == "sqlite":
        return []
    return ["--redis", request.getfixturevalue("redis_url")]


def _children(pid: int) -> list[int]:
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True)
    rows = [tuple(map(int, line.split())) for line in table.stdout.splitlines()]
    return [child for child, parent in rows if parent == pid]


def _runs(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


def _figures(output: str) -> dict[str, dict[str, float]]:
    """What `--json` printed, without what no two runs have in common."""
    figures = json.loads(output)
    for label in ("bare", "kit"):
        assert figures[label].pop("tasks_per_second") > 0
        assert figures[label].pop("bytes") > 0
    return figures


@pytest.mark.slow
def test_figures(terminal: Terminal) -> None:
    """Bare Huey leaves lock errors and tokens, the kit none, and both keep all else.

    The kit's store is smaller, even by all that a lock error and a token weigh.
    """
    check_figures(terminal)


def check_figures(terminal: Terminal, *options: str) -> None:
    """Run the demo with 20 tasks and compare what it counts in both stores."""
    ended = terminal.run("--json", "--tasks", "20", *options)
    kept = {"tasks": 20, "results": 3, "real_errors": 2}
    assert (ended.returncode, ended.stderr) == (0, "")
    figures = json.loads(ended.stdout)
    saved = figures["bare"]["bytes"] - figures["kit"]["bytes"]
    assert saved > 12 * 100 + 3 * len("r:00000000-0000-4000-8000-000000000000")
    assert _figures(ended.stdout) == {
        "work": WORK_OF_20,
        "bare": {**kept, "lock_errors": 12, "tokens": 3},
        "kit": {**kept, "lock_errors": 0, "tokens": 0},
    }
    assert terminal.left == []


@pytest.mark.slow
def test_redis_is_left_as_it_was(terminal: Terminal, redis_url: str) -> None:
    """Its figures are those of SQLite, no key of the demo stays, and no other key is touched."""
    foreign = {b"huey.results.app": b"1", b"huey.redis.demo": b"2", b"foreign": b"3"}
    with redis.Redis.from_url(redis_url) as client:
        client.mset(foreign)
        before = set(client.scan_iter())
        check_figures(terminal, "--redis", redis_url)
        assert set(client.scan_iter()) == before
        assert dict(zip(foreign, client.mget(foreign), strict=True)) == foreign
        client.delete(*foreign)


@pytest.mark.slow
def test_plain_output(terminal: Terminal) -> None:
    """In a pipe: no colour, no bar, no wide line; the table, its meaning, and three lines."""
    ended = terminal.run("--tasks", "20")
    lines = ended.stdout.splitlines()
    table = {line[1:25].strip(): line[25:].split() for line in lines if line[24:25] == " "}
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\x1b" not in ended.stdout
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("A real Huey consumer does 20 tasks on a temporary SQLite file")
    assert table["results kept"] == ["3", "3"]
    assert table["real errors still there"] == ["2", "2"]
    assert table["lock errors stored"] == ["12", "0"]
    assert table["revoke tokens left"] == ["3", "0"]
    assert "kept 12 of 12 lock errors and 3 of 3 spent revoke tokens out" in " ".join(lines)
    assert lines[-3:] == THREE_LINES


@pytest.mark.slow
def test_progress_bar(terminal: Terminal) -> None:
    """A person sees a bar for each round on stderr; stdout has the figures and nothing else."""
    ours, theirs = pty.openpty()
    terminal.environment |= {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}
    process = terminal.start("--json", "--tasks", "20", stderr=theirs)
    os.close(theirs)
    shown = "".join(_read(ours))
    assert _figures(process.communicate(timeout=SECONDS)[0])["work"] == WORK_OF_20
    assert "bare Huey" in shown
    assert "with the kit" in shown
    assert "20/20" in shown
    assert "\x1b[3" not in shown


def _read(terminal: int) -> Iterator[str]:
    # Linux ends the reading of a terminal that nobody writes to any more with an error.
    with open(terminal, encoding="utf-8", errors="replace") as stream:
        try:
            yield from stream
        except OSError:
            return


BAD_URLS = [
    ("localhost:6379", "localhost:6379"),
    ("", "''"),
    ("http://me:secret@host", "http://***@host"),
    ("redis://me:secret@127.0.0.1:port", "redis://***@127.0.0.1:port"),
    ("unix://me:sec@ret@/no/such.sock", "unix://***@/no/such.sock"),
    ("unix:///no/such.sock?password=secret", "unix:///no/such.sock?password=***"),
]


@pytest.mark.parametrize(("url", "shown"), slow_except([BAD_URLS[0], BAD_URLS[3]], BAD_URLS))
def test_bad_url(terminal: Terminal, url: str, shown: str) -> None:
    """A URL that is none, or where nobody answers: one line that names it, and wrong use."""
    ended = terminal.run("--redis", url)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert shown in ended.stderr
    assert "secret" not in ended.stderr
    assert terminal.left == []


@pytest.mark.parametrize(
    "arguments", [["--tasks", "19"], ["--tasks", "many"], ["--workers", "0"], ["surplus"]]
)
def test_bad_options(arguments: list[str]) -> None:
    """Silly values are wrong use, before any work."""
    assert CliRunner().invoke(app, ["demo", *arguments]).exit_code == 2


def test_help() -> None:
    """The help of the command ends in worked examples."""
    shown = CliRunner().invoke(app, ["demo", "--help"])
    assert shown.exit_code == 0
    assert shown.output.splitlines()[-1].strip().startswith("huey-signals demo --web")


@pytest.mark.parametrize(
    ("storage", "signum"),
    slow_except(
        [("sqlite", signal.SIGINT)],
        [*product(["sqlite", "redis"], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])],
    ),
    indirect=["storage"],
)
def test_interrupted(terminal: Terminal, storage: list[str], signum: signal.Signals) -> None:
    """Ctrl-C and its like, even many, end the demo quietly, and nothing of it stays."""
    process, consumer = terminal.start_midway(*storage)
    while process.returncode is None:
        process.send_signal(signum)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.002)
    _, err = process.communicate()
    assert (process.returncode, err) == (128 + signum, "")
    assert not _runs(consumer)
    assert terminal.left == []
    if storage:
        with redis.Redis.from_url(storage[1]) as client:
            assert list(client.scan_iter(match="*hueysignalsdemo*")) == []


def test_killed(terminal: Terminal) -> None:
    """Even when the demo is killed, its consumer ends by itself."""
    process, consumer = terminal.start_midway()
    process.kill()
    process.wait()
    wait_until(lambda: not _runs(consumer), SECONDS, "the consumer to end")


@pytest.mark.slow
def test_consumer_dies(terminal: Terminal) -> None:
    """When the consumer dies, the demo says how, shows the end of its log, and fails."""
    process, consumer = terminal.start_midway()
    os.kill(consumer, signal.SIGTERM)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "the consumer ended early, with exit code" in err
    assert "Consumer exiting" in err
    assert terminal.left == []


def test_log_tail_hides_the_password(tmp_path: Path) -> None:
    """The log's end, as an error shows it, has the URL without the password."""
    url = "redis://:secret@host:1/0"
    log = tmp_path / "bare.log"
    log.write_text(f"cannot connect to {url}\n")
    settings = Settings(DemoStorage("redis", url, "q"), str(tmp_path / "bare.tally"), kit=False)
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    with pytest.raises(CommandError) as failed:
        Consumer(process, log, settings).work_until(1, lambda done: None)
    assert str(failed.value) == (
        "the consumer ended early, with exit code 3; the end of its log:\n"
        "cannot connect to redis://***@host:1/0"
    )


@pytest.mark.slow
def test_background_job(terminal: Terminal) -> None:
    """As a shell's background job, where SIGINT is ignored, it still stops its consumers."""
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *DEMO]
    ended = terminal.run("--json", "--tasks", "20", command=ignoring)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
def test_script_in_a_foreign_folder(terminal: Terminal) -> None:
    """The script `huey-signals` is the same as `python -m huey_signals_kit`.

    It imports no module of the current folder that is named like ours or Huey's.
    """
    if not SCRIPT.exists():
        pytest.skip("huey-signals-kit is not installed beside this Python")
    for name in ("huey.py", "redis.py", "huey_signals_kit.py", "signal.py"):
        (terminal.folder / name).write_text("raise SystemExit('the wrong module')")
    ended = terminal.run("demo", "--json", "--tasks", "20", command=[str(SCRIPT)])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert _figures(ended.stdout)["work"] == WORK_OF_20


BARE = Figures(20, 3, 2, lock_errors=12, tokens=3, bytes=10_000, tasks_per_second=1000.0)
KIT = replace(BARE, lock_errors=0, tokens=0, bytes=2_500)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[Figures], tuple[int, str]]:
    """Exit code and output of a demo whose second round had the given figures."""

    def show(kit: Figures) -> tuple[int, str]:
        monkeypatch.setattr(command, "_run", lambda *_: Comparison(Plan.for_tasks(20), BARE, kit))
        result = CliRunner().invoke(app, ["demo"], env={"COLUMNS": "80"})
        return result.exit_code, " ".join(result.output.split())

    return show


def test_effect(shown: Callable[[Figures], tuple[int, str]]) -> None:
    """The closing sentence is made of the measured numbers."""
    code, output = shown(KIT)
    assert code == 0
    assert (
        "The kit kept 12 of 12 lock errors and 3 of 3 spent revoke tokens out of the store, which "
        "holds 75 % fewer bytes; all 3 results and all 2 real errors are still there."
    ) in output


def test_effect_with_losses(shown: Callable[[Figures], tuple[int, str]]) -> None:
    """Were a result or a real error lost, the sentence would say so, and the command fail."""
    code, output = shown(replace(KIT, results=2))
    assert code == 1
    assert "but of 3 results it kept 2, and of 2 real errors 2." in output


def test_effect_with_leftovers(shown: Callable[[Figures], tuple[int, str]]) -> None:
    """Did the kit let a lock error or more bytes through, the same."""
    code, output = shown(replace(KIT, lock_errors=5, bytes=11_000))
    assert code == 1
    assert "kept 7 of 12 lock errors" in output
    assert "holds 10 % more bytes; all 3 results" in output


def test_plan() -> None:
    """However many tasks: all are planned, most meet the lock, and every kind occurs."""
    for tasks in range(20, 500):
        plan = Plan.for_tasks(tasks)
        assert len(plan.kinds_in_order()) == plan.total == tasks
        assert plan.locked > tasks / 2
        assert set(plan.kinds_in_order()) == {"locked", "revoked", "failing", "succeeding"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@host/0", "redis://***@host/0"),
        ("rediss://me:se:c/r@et@host:1/0?db=2", "rediss://***@host:1/0?db=2"),
        ("me:secret@host", "***@host"),
        (
            "redis://host?username=me&password=secret&db=1",
            "redis://host?username=***&password=***&db=1",
        ),
    ],
)
def test_masked(url: str, shown: str) -> None:
    """A URL is shown without anything that could be a secret."""
    assert mask_url(url) == shown
