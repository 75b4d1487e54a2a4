"""Parts that several commands use: finding the Huey, output, errors, signals."""
