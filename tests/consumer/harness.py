"""Starts a real `huey_consumer` in a process of its own, and stops or kills it."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import Place, tail, wait_until

ROOT = Path(__file__).parents[2]
# No periodic tasks, and an idle worker looks at the queue often.
OPTIONS = ["-n", "-d", "0.02"]
STOP_SECONDS = 30


@dataclass(frozen=True)
class Consumer:
    """A running consumer: the process, and the file that has all it printed.

    `lifeline` is the end of a pipe whose other end the consumer and its workers hold: it
    becomes readable when the last of them is gone.
    """

    process: subprocess.Popen[bytes]
    log: Path
    lifeline: int

    def wait_until(self, predicate: Callable[[], Any], what: str, timeout: float = 60) -> Any:
        """Polls until `predicate` is true; fails at once when the consumer is gone."""

        def answer() -> Any:
            ended = self.process.poll()
            assert ended is None, f"the consumer ended with {ended}{tail(self.log)}"
            return predicate()

        return wait_until(answer, timeout, what, self.log)

    def stop(self) -> None:
        """Asks it to finish what its workers have begun and to end (SIGINT), and waits."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        wait_until(self.is_gone, STOP_SECONDS, "consumer and workers to stop", self.log)
        ended = self.process.wait(STOP_SECONDS)
        assert ended == 0, f"the consumer ended with {ended}{tail(self.log)}"

    def kill(self) -> None:
        """`kill -9` for the consumer and its worker processes: nothing of it runs any more."""
        # The whole group: worker processes go on without their parent.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.is_gone(STOP_SECONDS), "a worker process has survived kill -9"

    def is_gone(self, timeout: float = 0) -> bool:
        """Whether neither the consumer nor a worker process of it is left."""
        return bool(select.select([self.lifeline], [], [], timeout)[0])


@contextmanager
def running_consumer(
    place: Place,
    log: Path,
    *,
    worker: str = "thread",
    workers: int = 4,
    install: dict[str, Any] | None,
    app: str = "tests.consumer.app",
    options: Sequence[str] = (),
    periodic: bool = False,
) -> Iterator[Consumer]:
    """Runs a consumer of the queue at `place`; stopped gracefully if nobody has done so before.

    `install` has the arguments for `install_handlers`; None leaves Huey bare. `app` is the
    module whose `huey` it is, and `options` are more of the consumer's own.
    """
    options = [*options, *(OPTIONS[1:] if periodic else OPTIONS)]
    command = [f"{app}.huey", "-k", worker, "-w", str(workers), *options]
    command = [sys.executable, "-m", "huey.bin.huey_consumer", *command]
    with run_consumer(command, log, ROOT, _environment(place, worker, install)) as consumer:
        yield consumer


@contextmanager
def run_consumer(
    command: Sequence[str], log: Path, folder: Path, environment: dict[str, str]
) -> Iterator[Consumer]:
    """Runs a consumer by any command; stopped gracefully if nobody has done so before."""
    consumer = _start(command, log, folder, environment)
    try:
        consumer.wait_until(lambda: _is_up(consumer.process.pid), "the consumer to be up")
        yield consumer
        if consumer.process.poll() is None:
            consumer.stop()
    finally:
        if not consumer.is_gone():
            consumer.kill()
        os.close(consumer.lifeline)


def _start(command: Sequence[str], log: Path, folder: Path, env: dict[str, str]) -> Consumer:
    ours, theirs = os.pipe()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs],
            start_new_session=True,
        )
    os.close(theirs)
    return Consumer(process, log, ours)


def _is_up(pid: int) -> bool:
    # The last thing a starting consumer does is to handle SIGHUP; a SIGINT that comes before
    # that would not be a graceful stop but a crash.
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return True
    caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGHUP - 1) & 1)


def _environment(place: Place, worker: str, install: dict[str, Any] | None) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "HUEY_KIT_TEST_KIND": place.kind,
        "HUEY_KIT_TEST_LOCATION": place.location,
        "HUEY_KIT_TEST_NAME": place.name,
        "HUEY_KIT_TEST_WORKER": worker,
        "HUEY_KIT_TEST_INSTALL": json.dumps(install),
    }
