"""A real consumer in a process of its own, which never outlives the demo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...jobs.host_record import RUN_DIR
from .._shared.exits import CommandError
from .settings import Settings
from .tally import Tally

_APP = f"{__package__}.app.huey"
_COMMAND = [sys.executable, "-m", "huey.bin.huey_consumer", _APP]
_POLL_SECONDS = 0.05
_STALL_SECONDS = 30
_STOP_SECONDS = 10
_MAX_LOG_LINES = 12


@dataclass(frozen=True)
class Consumer:
    """A running consumer and its log."""

    process: subprocess.Popen[bytes]
    log: Path
    settings: Settings

    def work_until(self, total: int, on_progress: Callable[[int], None]) -> None:
        """Wait until `total` tasks have ended.

        Args:
            total: Number of tasks.
            on_progress: Called with the number of tasks that have ended.

        Raises:
            CommandError: The consumer has ended, or no task has ended for 30 seconds.
        """
        tally = Tally(Path(self.settings.tally))
        seen, seen_at = 0, time.monotonic()
        while (count := tally.count()) < total:
            if self.process.poll() is not None:
                raise self.failure(f"ended early, with exit code {self.process.returncode}")
            if count > seen:
                seen, seen_at = count, time.monotonic()
                on_progress(count)
            elif time.monotonic() - seen_at > _STALL_SECONDS:
                raise self.failure(f"has done nothing for {_STALL_SECONDS} seconds")
            time.sleep(_POLL_SECONDS)
        on_progress(total)

    def stop(self) -> None:
        """Stop the consumer after the tasks that it is running.

        Raises:
            CommandError: It did not stop in time and was killed.
        """
        if not self.end():
            raise self.failure(f"did not stop within {_STOP_SECONDS} seconds")

    def end(self) -> bool:
        """Stop the consumer if it is running; return False if it had to be killed."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        finally:
            # Also if a signal interrupted the wait.
            self.process.kill()
            self.process.wait()
        return True

    def failure(self, what: str) -> CommandError:
        """Return an error that says `what` the consumer did, with the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-_MAX_LOG_LINES:]
        storage = self.settings.storage
        tail = "\n".join(lines).replace(storage.location, storage.printable_location)
        return CommandError(f"the consumer {what}; the end of its log:\n{tail or '(it is empty)'}")


@contextmanager
def running_consumer(
    settings: Settings, workers: int, log: Path, is_periodic: bool = False
) -> Iterator[Consumer]:
    """Run a consumer during the block, and stop it at the end.

    Args:
        settings: The queue and the kit of the consumer.
        workers: Number of its threads.
        log: File for its output.
        is_periodic: Whether it enqueues periodic tasks, which only one consumer of a queue should.
    """
    consumer = Consumer(_start(settings, workers, log, is_periodic), log, settings)
    try:
        yield consumer
    except BaseException:
        consumer.end()
        raise
    consumer.stop()


def _start(
    settings: Settings, workers: int, log: Path, is_periodic: bool
) -> subprocess.Popen[bytes]:
    # The consumer imports from the same folders as this process, but runs in another one.
    options, variables = ["--workers", str(workers)], settings.as_environment()
    if settings.is_shop:
        # It is killed in the end, and would leave its file in the folder that all processes share.
        variables[RUN_DIR] = str(log.parent)
    if not is_periodic:
        options.append("--no-periodic")
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    with log.open("ab") as output:
        return subprocess.Popen(
            [*_COMMAND, *options],
            cwd=log.parent,
            env={**os.environ, "PYTHONPATH": path, **variables},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            # Ctrl-C is for the demo, which then stops its consumer.
            start_new_session=True,
        )
