"""Run ``python -m huey_signals_kit``, which is the same as the command ``huey-signals``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line, or exit with the name of the extra that is not installed.

    typer and rich belong to the extra ``cli``, so they may be missing. Importing them takes long
    enough for a Ctrl-C, which would otherwise end in a traceback.
    """
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
        sys.exit(130)
    run(app)


def _open_closed_streams() -> None:
    """Open /dev/null in place of closed standard streams, as after ``>&-`` in a shell.

    Without this, the next file or connection would get the descriptor of a standard stream, and
    what the command prints would be written to it.
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
