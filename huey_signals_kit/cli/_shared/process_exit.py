"""End the process, even if a module of the user has left threads running in it."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .terminal import program

_GRACE_SECONDS = 1.0
"""Seconds that the threads of the user's module get to end by themselves."""


def run(app: Callable[[], object]) -> None:
    """Call `app` and end the process with its exit code.

    At exit Python waits for every thread that is not a daemon. The module that creates the Huey may
    have started a thread that never ends; a command must not wait for it. So if such a thread is
    left after the grace period, the exit functions run, the streams are flushed, and the process
    ends without waiting.

    Args:
        app: The command line; it ends with `SystemExit`.
    """
    try:
        _call(app)
    except BaseException as exc:
        _wait_for_threads()
        if not _other_threads():
            raise
        _exit_immediately(exc)


def _call(app: Callable[[], object]) -> None:
    try:
        app()
    except OSError as exc:  # from printing a help text; commands report their own errors
        if exc.errno != errno.ENOSPC or exc.filename is not None:
            raise
        print(f"{program.name}: cannot write the output: {exc}", file=sys.stderr)
        sys.exit(1)


def _other_threads() -> list[threading.Thread]:
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if thread is not main and not thread.daemon]


def _wait_for_threads() -> None:
    deadline = time.monotonic() + _GRACE_SECONDS
    for thread in _other_threads():
        thread.join(max(0.0, deadline - time.monotonic()))


def _exit_immediately(exc: BaseException) -> None:
    code = 1
    if isinstance(exc, SystemExit) and (exc.code is None or isinstance(exc.code, int)):
        code = exc.code or 0
    else:
        sys.excepthook(type(exc), exc, exc.__traceback__)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
