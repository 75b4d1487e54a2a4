"""The URLs of the project: two admin sites, and the page."""

from django.contrib import admin
from django.urls import include, path

from huey_signals_kit.contrib.django.admin import QueueAdmin
from huey_signals_kit.contrib.django.models import Queue


class OwnSite(admin.AdminSite):
    """An admin site that only users with an address may enter."""

    def has_permission(self, request):
        """Return whether the user has an address."""
        return bool(getattr(request.user, "email", ""))


own_site = OwnSite("own")
own_site.register(Queue, QueueAdmin)
urlpatterns = [
    path("admin/", admin.site.urls),
    path("own/", own_site.urls),
    path("ops/huey/", include("huey_signals_kit.contrib.django.urls")),
]
