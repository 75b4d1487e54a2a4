"""Which processes of this host are alive, by the operating system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from huey_signals_kit.runtime.process_id import process_with_pid
from tests.support import wait_until

WITHOUT_MAIN_THREAD = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.readline).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_process_is_alive_while_any_thread_of_it_is():
    """The kernel shows it as a zombie as soon as its main thread has ended."""
    command = [sys.executable, "-c", WITHOUT_MAIN_THREAD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        identity = process_with_pid(process.pid)
        wait_until(lambda: state_of(process.pid) == "Z", 10, "the end of the main thread")
        assert identity.is_alive()
        process.kill()
        wait_until(lambda: identity.is_alive() is False, 10, "the end of the process")
        assert state_of(process.pid) == "Z"


def state_of(pid):
    """The state of a process that was not waited for."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
