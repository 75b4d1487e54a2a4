"""The web page in projects of other kinds than that of `tests.django.suite`."""

from __future__ import annotations

import pytest

pytest.importorskip("django")
pytest.importorskip("jinja2")

from tests.django.project import Project

pytestmark = pytest.mark.slow
INCLUDE = """
from django.urls import include, path
urlpatterns = [path("huey/", include("huey_signals_kit.contrib.django.urls"))]
"""
QUEUES = """
INSTALLED_APPS += ["django_huey", "huey_signals_kit.contrib.django"]
ALLOWED_HOSTS = ["*"]
import sys; sys.modules["huey_monitor"] = None  # would import djhuey
QUEUE = {"huey_class": "huey.SqliteHuey", "filename": BASE_DIR / "q.db", "immediate": False}
DJANGO_HUEY = {"queues": {"mails": {**QUEUE, "name": "one"}, "a/b": {**QUEUE, "name": "two"}}}
"""
VISIT = """
import shop.wsgi, re
from django.contrib.auth.models import User
from django.test import Client
client = Client()
user, _ = User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)
client.force_login(user)
for link in re.findall('<li><a href="(.*?)"', client.get("/huey/").text):
    answer = client.get(link + "locks")
    print(link, answer.status_code, re.search("<strong>(.*?)</strong>", answer.text)[1])
"""


def test_queues_of_django_huey(tmp_path):
    """Each has its pages under its key in the settings, as in commands."""
    project = Project(tmp_path, QUEUES)
    project.write("shop/urls.py", INCLUDE)
    assert project.manage("migrate").err == ""
    ran = project.python(VISIT)
    assert ran.out.splitlines() == ["/huey/mails/ 200 mails", "/huey/a~2Fb/ 200 a/b"]


def test_a_project_without_the_extra(tmp_path):
    """A check names it; without the URLs of the page, the admin works and shows no entry."""
    app = 'INSTALLED_APPS += ["huey.contrib.djhuey", "huey_signals_kit.contrib.django"]\n'
    huey = 'HUEY = {"huey_class": "huey.MemoryHuey", "name": "shop", "immediate": False}\n'
    hosts = "ALLOWED_HOSTS = ['*']\nimport sys; sys.modules['jinja2'] = None\n"
    project = Project(tmp_path, app + huey + hosts)
    assert project.manage("migrate").err == ""
    ran = project.python(VISIT.replace("/huey/", "/admin/") + "print(client.get('/admin/').text)")
    assert "Users" in ran.out
    assert "Huey queues" not in ran.out
    project.write("shop/urls.py", INCLUDE)
    ran = project.manage("check")
    assert ran.code == 1
    assert "huey_signals.E013" in ran.err
    assert "pip install 'huey-signals-kit[web]'" in ran.err
    ran = project.python(VISIT, check=False)
    assert "run: pip install 'huey-signals-kit[web]'" in ran.err
