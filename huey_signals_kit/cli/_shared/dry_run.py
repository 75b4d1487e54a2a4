"""Sentences around a dry run, the same in every command with ``--apply``."""

from __future__ import annotations

from .terminal import print_command, print_text


def print_dry_run_notice() -> None:
    """Say that nothing is changed, and leave a blank line."""
    print_text("Dry run: nothing is changed.")
    print_text()


def print_apply_command(*words: str) -> None:
    """Print the command that makes the changes, after a blank line."""
    print_text()
    print_text("To make these changes:")
    print_command(*words)
