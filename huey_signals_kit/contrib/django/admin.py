"""The entry "Huey queues" of the admin, which leads to the web interface."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.contrib import admin
from django.urls import reverse

from ._page import granted_to, page_urls
from .models import Queue


class QueueAdmin(admin.ModelAdmin):  # type: ignore[misc]
    """The web interface as a part of an admin site, which decides who may enter."""

    def has_add_permission(self, request: Any) -> bool:
        """Return False: queues are defined in the settings."""
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        """Return False: the model has no rows."""
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        """Return False: the model has no rows."""
        return False

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        """Return whether the user may see the web interface."""
        return granted_to(request.user) is not None

    def has_module_permission(self, request: Any) -> bool:
        """Return whether the index of the admin has the entry."""
        return self.has_view_permission(request)

    def get_urls(self) -> list[Any]:
        """Return the URLs of the web interface in place of those of a list and its forms."""
        site = self.admin_site
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return page_urls(
            name, site.has_permission, lambda: reverse("admin:login", current_app=site.name)
        )


if find_spec("jinja2") is not None:
    admin.site.register(Queue, QueueAdmin)
