"""The command ``huey-signals tokens``: revoke tokens and pause switches one by one."""
