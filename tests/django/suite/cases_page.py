"""The web page in the project: who sees it, where it leads, and its forms."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from io import StringIO
from unittest import skipIf, skipUnless
from unittest.mock import patch
from urllib.parse import urlencode

import django
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.test import AsyncClient, Client, SimpleTestCase, TestCase, override_settings
from django.urls import path, reverse

from huey_signals_kit.contrib.django import _page, urls
from huey_signals_kit.signals import page_action
from tests.locks import GONE, taken_by

HUEY = settings.HUEY
FORM = "application/x-www-form-urlencoded"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
ADMIN = "/admin/huey_signals/queue/"
OWN = "/own/huey_signals/queue/"
PAGE = "/ops/huey/"
urlpatterns = [path("page", lambda request: None)]
"""The URLs of a project without the page and without an admin."""


def first_argument(name, args, kwargs):
    """Return what the page shows of the arguments of a task."""
    return f"the order {args[0]}"


@skipIf(find_spec("jinja2") is None, "the extra web is not installed")
class Page(TestCase):
    """The page under its own URLs, in the admin, and in an admin site of the project."""

    databases = ("default", "other")

    @classmethod
    def setUpTestData(cls):
        """Create a user of each kind."""
        cls.users = {
            "nobody": AnonymousUser(),
            "customer": cls.create("customer", "view_queue", "act_on_queue"),
            "staff": cls.create("staff", is_staff=True),
            "former": cls.create("former", "view_queue", is_staff=True, is_active=False),
            "reader": cls.create("reader", "view_queue", is_staff=True),
            "actor": cls.create("actor", "act_on_queue", is_staff=True),
            "root": User.objects.create_superuser("root"),
            "guest": cls.create("guest", "view_queue", email="guest@example.com"),
        }

    @staticmethod
    def create(name, *permissions, **fields):
        """Create a user with permissions of the app."""
        user = User.objects.create_user(name, **fields)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        return user

    def client_of(self, name, **options):
        """Return a browser in which a user is logged in."""
        client = Client(**options)
        if self.users[name].is_authenticated:
            client.force_login(self.users[name])
        return client

    def statuses(self, url):
        """Return the status of a page for each user."""
        return {name: self.client_of(name).get(url).status_code for name in self.users}

    def test_who_sees_the_page(self):
        """Active staff with one of the permissions, and superusers; others are refused."""
        refused = dict.fromkeys(("customer", "staff", "guest"), 403)
        sent_to_login = dict.fromkeys(("nobody", "former"), 302)
        shown = dict.fromkeys(("reader", "actor", "root"), 200)
        for url in (PAGE, ADMIN):
            for page in ("", "locks", "locks?a=b"):
                expected = {**sent_to_login, **refused, **shown}
                self.assertEqual(self.statuses(url + page), expected)

    def test_an_admin_site_of_the_project_says_who_may_enter(self):
        """In addition to the permission; the login is that of the site."""
        found = self.statuses(OWN)
        shown = [name for name, status in found.items() if status == 200]
        self.assertEqual(shown, ["guest"])
        self.assertEqual(found["root"], 403)
        url = self.client_of("nobody").get(OWN)["Location"]
        self.assertEqual(url, f"/own/login/?next={OWN}")

    def test_the_index_of_the_admin_leads_to_the_page(self):
        """For those who may see it."""
        for name, is_shown in (("staff", False), ("reader", True), ("actor", True)):
            text = self.client_of(name).get("/admin/").text
            self.assertEqual(f'href="{ADMIN}"' in text, is_shown)
            self.assertEqual("Huey queues" in text, is_shown)
            self.assertNotIn(f"{ADMIN}add", text)
        self.assertIn(f'href="{ADMIN}locks"', self.client_of("reader").get(ADMIN).text)

    def test_names_of_the_urls(self):
        """As for every admin, and in a namespace."""
        self.assertEqual(reverse("admin:huey_signals_queue_changelist"), ADMIN)
        self.assertEqual(reverse("huey_signals:page"), PAGE)

    def test_the_login_page(self):
        """LOGIN_URL if the project has it, else that of the admin, else Django's default."""
        client = self.client_of("nobody")
        url = f"{PAGE}lock?name=a%20b"
        target = "next=/ops/huey/lock%3Fname%3Da%2520b"
        self.assertEqual(client.get(url)["Location"], f"/admin/login/?{target}")
        with override_settings(LOGIN_URL="/sso/"):
            self.assertEqual(client.get(url)["Location"], f"/sso/?{target}")
        with override_settings(ROOT_URLCONF=__name__):
            self.assertEqual(urls._login_url(), "/accounts/login/")

    def test_requests_of_no_browser_window_are_refused_without_a_login(self):
        """A file, JSON, and a page that refreshes itself."""
        client = self.client_of("nobody")
        for page in ("healthz", "static/page.css", "locks.json"):
            self.assertEqual(client.get(PAGE + page).status_code, 403)
        answer = client.get(PAGE, headers={"Sec-Fetch-Mode": "cors"})
        self.assertEqual(answer.status_code, 403)

    def form_of(self, client, lock):
        """Return the URL and the fields of the form that releases a lock."""
        url = f"{PAGE}act/release?name={lock}"
        text = client.get(url).text
        fields = re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)"', text)
        return re.search('<form method="post" action="(.*?)"', text)[1], dict(fields)

    @staticmethod
    def post(client, url, fields, headers=SAME_ORIGIN):
        """Send a form as a browser does; return the status."""
        return client.post(url, urlencode(fields), FORM, headers=headers).status_code

    def test_forms_need_the_token_of_django_and_the_origin_of_the_page(self):
        """Also in a project without the middleware; the act is announced with its user."""
        self.addCleanup(HUEY.flush)
        users = []

        def on_act(sender, user, **_):
            users.append(user)

        without = [each for each in settings.MIDDLEWARE if "Csrf" not in each]
        for name, middleware in (("one", settings.MIDDLEWARE), ("two", without)):
            taken_by(HUEY, name, GONE)
            _page._site.cache_clear()  # what is known of the queue is older
            with override_settings(MIDDLEWARE=middleware), page_action.connected_to(on_act):
                client = self.client_of("actor", enforce_csrf_checks=True)
                url, fields = self.form_of(client, name)
                forged = {**fields, "csrfmiddlewaretoken": "x"}
                self.assertEqual(self.post(client, url, forged), 403)
                self.assertEqual(self.post(client, url, fields, {}), 403)
                self.assertEqual(self.post(client, url, fields), 303)
        self.assertEqual(users, ["actor", "actor"])

    def test_a_reader_cannot_act(self):
        """The permission to see the page is not enough."""
        client = self.client_of("reader")
        self.assertEqual(self.post(client, f"{PAGE}act/release", {"name": "x"}), 403)

    def test_a_project_below_a_path(self):
        """By the server and by the setting; every link has it."""
        client = self.client_of("reader")
        self.assertIn('"/shop/ops/huey/locks"', client.get(PAGE, SCRIPT_NAME="/shop").text)
        with override_settings(FORCE_SCRIPT_NAME="/forced"):
            self.assertIn('"/forced/ops/huey/locks"', client.get(PAGE).text)
            text = client.get(ADMIN).text
            self.assertIn('"/forced/admin/huey_signals/queue/locks"', text)
            self.assertNotIn('"/admin', text)

    async def test_the_page_under_asgi(self):
        """Django runs the view on a thread."""
        client = AsyncClient()
        await client.aforce_login(self.users["reader"])
        answer = await client.get(f"{PAGE}locks")
        self.assertContains(answer, f'"{PAGE}locks"')
        with override_settings(FORCE_SCRIPT_NAME="/forced"):
            answer = await client.get(PAGE)
            self.assertContains(answer, f'"/forced{PAGE}locks"')

    @skipUnless(django.VERSION >= (6,), "Django 6 has the middleware")
    def test_the_policy_of_the_page_stays(self):
        """Whatever the policy of the project is."""
        middleware = "django.middleware.csp.ContentSecurityPolicyMiddleware"
        own = self.client_of("reader").get(PAGE)["Content-Security-Policy"]
        self.assertIn("default-src 'none'", own)
        with override_settings(
            MIDDLEWARE=[middleware, *settings.MIDDLEWARE],
            SECURE_CSP={"default-src": ["*"], "script-src": ["'unsafe-inline'"]},
        ):
            client = self.client_of("reader")
            self.assertEqual(client.get(PAGE)["Content-Security-Policy"], own)
            self.assertIn("unsafe-inline", client.get("/admin/")["Content-Security-Policy"])

    def test_a_queue_in_immediate_mode(self):
        """As in a new project: its tasks run at once, and nothing is stored."""
        HUEY.immediate = True
        try:
            self.assertEqual(self.client_of("reader").get(PAGE).status_code, 200)
        finally:
            HUEY.immediate = False

    def test_the_permissions_need_no_table_and_no_migration(self):
        """Commands that read every model find a model without rows."""
        tables = connection.introspection.table_names()
        self.assertEqual([name for name in tables if "huey" in name], [])
        output = StringIO()
        call_command("dumpdata", "huey_signals", "--all", stdout=output)
        self.assertEqual(output.getvalue().strip(), "[]")
        call_command("makemigrations", "--check", "--dry-run", stdout=output)

    def test_arguments_are_shown_by_the_function_of_the_setting(self):
        """By default they are hidden; the setting has a function or its path."""
        self.addCleanup(_page._site.cache_clear)
        self.addCleanup(HUEY.flush)
        task = HUEY.task()(lambda order: None)("secret-order")
        shown = {}
        for given in (None, f"{__name__}.first_argument", first_argument):
            _page._site.cache_clear()
            with override_settings(HUEY_SIGNALS_FORMAT_ARGUMENTS=given):
                answer = self.client_of("reader").get(f"{PAGE}task?id={task.id}")
            shown[given] = "the order secret-order" in answer.text
        self.assertEqual(list(shown.values()), [False, True, True])


class PageChecks(SimpleTestCase):
    """What ``manage.py check`` says about the page."""

    def test_a_missing_package_is_named(self):
        """If the URLs include the page, and only then."""
        modules = {name: each for name, each in sys.modules.items() if each is not urls}
        with patch.dict(sys.modules, {"jinja2": None}):
            [message] = run_checks(tags=["huey_signals"])
            self.assertEqual(message.id, "huey_signals.E013")
            self.assertEqual(message.hint, "Run: pip install 'huey-signals-kit[web]'")
        with (
            patch.dict(sys.modules, {**modules, "jinja2": None}, clear=True),
            override_settings(ROOT_URLCONF=__name__),
        ):
            self.assertEqual(run_checks(tags=["huey_signals"]), [])

    def test_a_setting_that_cannot_format_arguments_is_named(self):
        """With what it is and what it takes."""
        for given, problem in {
            "shop.ops.missing": "ModuleNotFoundError: No module named 'shop'",
            f"{__name__}.missing": "ImportError",
            3: "must be a function (name, args, kwargs); got 3",
            f"{__name__}.Page": "is the class",
        }.items():
            with override_settings(HUEY_SIGNALS_FORMAT_ARGUMENTS=given), self.subTest(given=given):
                [message] = run_checks(tags=["huey_signals"])
                self.assertEqual(message.id, "huey_signals.E014")
                self.assertIn("HUEY_SIGNALS_FORMAT_ARGUMENTS = ", message.msg)
                self.assertIn(problem, message.msg)
                self.assertIn("It takes a function (name, args, kwargs)", message.hint)
