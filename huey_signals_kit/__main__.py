"""``python -m huey_signals_kit``, the same as the command ``huey-signals``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line, or say which extra it needs."""
    _open_closed_streams()
    try:
        from .cli import app, run
    except ModuleNotFoundError as exc:
        if exc.name not in ("typer", "rich"):
            raise
        sys.exit(
            f"huey-signals needs {exc.name}, which is not installed; "
            "run: pip install 'huey-signals-kit[cli]'"
        )
    except KeyboardInterrupt:
        sys.exit(130)  # importing takes long enough for a Ctrl-C
    run(app)


def _open_closed_streams() -> None:
    """Open /dev/null in place of closed standard streams, as after ``>&-``.

    Otherwise the next file or connection would get the descriptor of a standard stream.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


if __name__ == "__main__":
    main()
