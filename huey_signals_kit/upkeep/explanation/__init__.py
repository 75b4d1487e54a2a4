"""Where one task is, and why it does not run."""
