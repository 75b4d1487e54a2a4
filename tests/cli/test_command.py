"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys


def test_the_command_says_which_extra_it_needs():
    """Without typer there is one line, not a traceback."""
    script = (
        "import sys\n"
        "sys.modules['typer'] = None\n"
        "from huey_signals_kit.__main__ import main\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (
        1,
        "huey-signals needs typer, which is not installed; "
        "run: pip install 'huey-signals-kit[cli]'\n",
    )
