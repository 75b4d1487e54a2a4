"""What the kit adds to other tools: to the events of Sentry, and to the log of Huey."""
