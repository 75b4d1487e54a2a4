"""End the process, even if a user's module has left threads running in it."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

_GRACE_SECONDS = 1.0
"""Seconds that the threads of a user's module get to end by themselves."""


def run(app: Callable[[], object]) -> None:
    """Call *app* and end the process with its exit code.

    At exit Python waits for every thread that is not a daemon. The module that makes the Huey may
    have started a thread that never ends; a command does not wait for it.
    """
    try:
        _call(app)
    except BaseException as exc:
        _wait_for_threads()
        if not _threads():
            raise
        _end_now(exc)


def _call(app: Callable[[], object]) -> None:
    try:
        app()
    except OSError as exc:  # while printing a help text; commands report it themselves
        if exc.errno != errno.ENOSPC or exc.filename is not None:
            raise
        print(f"huey-signals: cannot write the output: {exc}", file=sys.stderr)
        sys.exit(1)


def _threads() -> list[threading.Thread]:
    main = threading.main_thread()
    return [each for each in threading.enumerate() if each is not main and not each.daemon]


def _wait_for_threads() -> None:
    deadline = time.monotonic() + _GRACE_SECONDS
    for thread in _threads():
        thread.join(max(0.0, deadline - time.monotonic()))


def _end_now(exc: BaseException) -> None:
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
