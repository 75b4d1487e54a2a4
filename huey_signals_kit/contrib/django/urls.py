"""The URLs of the web interface.

    path("huey/", include("huey_signals_kit.contrib.django.urls"))

Staff with the permission ``huey_signals.view_queue`` can see it. With the permission
``huey_signals.act_on_queue`` they can also make changes.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from ._page import page_urls

app_name = "huey_signals"


def _is_staff(request: Any) -> bool:
    user = getattr(request, "user", None)
    return bool(getattr(user, "is_active", False) and getattr(user, "is_staff", False))


def _login_url() -> str:
    """Return the setting LOGIN_URL if the project has it, else the login page of the admin."""
    if not settings.is_overridden("LOGIN_URL"):
        try:
            return str(reverse("admin:login"))
        except NoReverseMatch:
            pass
    return str(settings.LOGIN_URL)


urlpatterns = page_urls("page", _is_staff, _login_url)
