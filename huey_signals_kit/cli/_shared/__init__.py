"""What several commands use: finding the Huey, output, errors, Ctrl-C."""
