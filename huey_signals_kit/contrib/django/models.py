"""A model without a table, which carries the permissions of the web interface."""

from __future__ import annotations

from typing import Any

from django.db import models


class _NoRows(models.Manager):  # type: ignore[misc]
    def get_queryset(self) -> Any:
        """Return no rows without a query: commands such as ``dumpdata`` read every model."""
        return super().get_queryset().none()


class Queue(models.Model):  # type: ignore[misc]
    """A queue of the project; ``migrate`` creates its permissions, but no table."""

    name = models.CharField(primary_key=True, max_length=255)
    objects = _NoRows()

    class Meta:
        """Two permissions, and none of those that Django adds."""

        managed = False
        base_manager_name = "objects"
        default_permissions = ()
        permissions = (
            ("view_queue", "Can view Huey queues"),
            ("act_on_queue", "Can view and change Huey queues"),
        )
        verbose_name = "Huey queue"

    def __str__(self) -> str:
        return str(self.name)
