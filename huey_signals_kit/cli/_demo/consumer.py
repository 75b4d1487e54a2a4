"""A real consumer, in a process of its own, which never outlives the demo."""

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

from .._shared.exits import CommandError
from .settings import Settings
from .tally import Tally

_APP = f"{__package__}.app.huey"
_COMMAND = [sys.executable, "-m", "huey.bin.huey_consumer", _APP, "--no-periodic"]
_POLL_SECONDS = 0.05
_STALL_SECONDS = 30
_STOP_SECONDS = 10
_TAIL_LINES = 12


@dataclass(frozen=True)
class Consumer:
    """A running consumer and its log."""

    process: subprocess.Popen[bytes]
    log: Path
    settings: Settings

    def work_until(self, total: int, advance: Callable[[int], None]) -> None:
        """Wait until *total* tasks have ended; fail when the consumer does, or stands still."""
        tally = Tally(Path(self.settings.tally))
        seen, since = 0, time.monotonic()
        while (done := tally.count()) < total:
            if self.process.poll() is not None:
                raise self._failed(f"ended early, with exit code {self.process.returncode}")
            if done > seen:
                seen, since = done, time.monotonic()
                advance(done)
            elif time.monotonic() - since > _STALL_SECONDS:
                raise self._failed(f"has done nothing for {_STALL_SECONDS} seconds")
            time.sleep(_POLL_SECONDS)
        advance(total)

    def stop(self) -> None:
        """Let it finish and store what it has begun; fail when that takes too long."""
        if not self.end():
            raise self._failed(f"did not stop within {_STOP_SECONDS} seconds")

    def end(self) -> bool:
        """Stop it if it still runs; False when it had to be killed."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT)
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        finally:
            # Also when a signal came while we waited.
            self.process.kill()
            self.process.wait()
        return True

    def _failed(self, how: str) -> CommandError:
        lines = self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        location = self.settings.place.shown
        tail = "\n".join(lines).replace(self.settings.place.location, location)
        return CommandError(f"the consumer {how}; the end of its log:\n{tail or '(it is empty)'}")


@contextmanager
def running_consumer(settings: Settings, workers: int, log: Path) -> Iterator[Consumer]:
    """Runs a consumer, and stops it gracefully in the end, whatever happens."""
    consumer = Consumer(_start(settings, workers, log), log, settings)
    try:
        yield consumer
    except BaseException:
        consumer.end()
        raise
    consumer.stop()


def _start(settings: Settings, workers: int, log: Path) -> subprocess.Popen[bytes]:
    # It imports from where we do, whatever folder it runs in.
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    with log.open("ab") as output:
        return subprocess.Popen(
            [*_COMMAND, "--workers", str(workers)],
            cwd=log.parent,
            env={**os.environ, "PYTHONPATH": path, **settings.environment()},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            # Ctrl-C is for the demo, which then stops its consumer.
            start_new_session=True,
        )
