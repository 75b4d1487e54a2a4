"""``python -m huey_signals_kit``, the same as the command ``huey-signals``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say which extra it needs."""
    try:
        from .cli import app
    except ModuleNotFoundError as exc:
        if exc.name not in ("typer", "rich"):
            raise
        sys.exit(
            f"huey-signals needs {exc.name}, which is not installed; "
            "run: pip install 'huey-signals-kit[cli]'"
        )
    except KeyboardInterrupt:
        sys.exit(130)  # importing takes long enough for a Ctrl-C
    app()


if __name__ == "__main__":
    main()
