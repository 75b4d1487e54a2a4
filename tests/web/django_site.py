"""A Django project with the page, for the tests of other adapters: ``python -m`` this file.

It answers each line of stdin, a request to Django's test client, with a line on stdout, and serves
the project with WSGI and ASGI on ports of its own.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import django
from django.conf import settings

CSP = "django.middleware.csp.ContentSecurityPolicyMiddleware"
SCRIPT_NAME = "/shop"
urlpatterns = []


def configure(database: str, folder: str) -> None:
    """Set up Django and its tables, and add the URLs.

    Args:
        database: The file of the queue.
        folder: Where Django's own database is.
    """
    settings.configure(
        SECRET_KEY="of the tests",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        ROOT_URLCONF="tests.web.django_site",
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(folder) / "db"}
        },
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "huey.contrib.djhuey",
            "huey_signals_kit.contrib.django",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            *([CSP] if django.VERSION >= (6,) else []),
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        LOGGING_CONFIG=None,
        SECURE_CSP={"default-src": ["*", "'unsafe-inline'"]},
        SECURE_REFERRER_POLICY="unsafe-url",
        HUEY={
            "huey_class": "huey.SqliteHuey",
            "name": "shop",
            "filename": database,
            "immediate": False,
        },
    )
    django.setup()
    from django.contrib import admin
    from django.core.management import call_command
    from django.urls import include, path

    call_command("migrate", verbosity=0)
    urlpatterns.append(path("admin/", admin.site.urls))
    urlpatterns.append(path("ops/hüey/", include("huey_signals_kit.contrib.django.urls")))


def sessions() -> dict[str, str]:
    """Return the id of a session of a user of each role."""
    from django.contrib.auth.models import Permission, User
    from django.test import Client

    made = {}
    codes = {"staff": [], "read": ["view_queue"], "act": ["act_on_queue"]}
    for role, permissions in codes.items():
        user = User.objects.create_user(role, is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        made[role] = client.cookies["sessionid"].value
    return made


def answer(method: str, link: str, headers: list[tuple[str, str]], body: str) -> list:
    """Return the response of Django's test client."""
    from django.test import Client

    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    sent = {name: value for name, value in headers if name.lower() != "content-type"}
    kinds = [value for name, value in headers if name.lower() == "content-type"]
    content_type = kinds[0] if kinds else "application/octet-stream"
    response = client.generic(method, link, base64.b64decode(body), content_type, headers=sent)
    cookies = [("Set-Cookie", each.OutputString()) for each in response.cookies.values()]
    content = base64.b64encode(response.content).decode()
    return [response.status_code, [*response.headers.items(), *cookies], content]


def main() -> None:
    """Serve until stdin ends."""
    stack = ExitStack()
    configure(sys.argv[1], stack.enter_context(tempfile.TemporaryDirectory()))
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from werkzeug import serving
    from werkzeug.exceptions import NotFound
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from tests.web.adapters import quiet_werkzeug_handler, run_uvicorn, served

    with stack:
        app = DispatcherMiddleware(NotFound(), {SCRIPT_NAME: get_wsgi_application()})
        handler = quiet_werkzeug_handler()
        server = serving.make_server("127.0.0.1", 0, app, threaded=True, request_handler=handler)
        stack.enter_context(served(server))
        # uvicorn adds its root path to the path of each request.
        asgi_app = get_asgi_application()

        async def mounted(scope, receive, send):
            path = scope.get("path", "")
            if scope["type"] == "http" and path.startswith(SCRIPT_NAME):
                await asgi_app({**scope, "root_path": SCRIPT_NAME}, receive, send)

        port = stack.enter_context(run_uvicorn(mounted, lifespan="off"))
        facts = {
            "sessions": sessions(),
            "ports": {"django-wsgi": server.server_port, "django-asgi": port},
        }
        print(json.dumps(facts), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(*json.loads(line))), flush=True)


if __name__ == "__main__":
    # As a module of its own name, because it is the project's URLconf, too.
    from tests.web import django_site

    django_site.main()
