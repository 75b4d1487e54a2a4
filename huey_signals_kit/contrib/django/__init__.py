"""The Django app: add ``"huey_signals_kit.contrib.django"`` to ``INSTALLED_APPS``.

It installs the kit on the queues of the project, with the arguments in the setting
``HUEY_SIGNALS``.
"""

from ._lock_errors import lock_errors

__all__ = ["lock_errors"]
