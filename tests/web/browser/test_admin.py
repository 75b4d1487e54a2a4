"""The page in Django's admin, in a real browser, with permissions and without."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytest.importorskip("django")

import django
import huey

from huey_signals_kit.web._guard import ACTS
from huey_signals_kit.web._pages import PAGES
from tests.django.project import SETTING, Project
from tests.servers import free_port
from tests.support import wait_until
from tests.web.browser.acts import Act, acts_on, do
from tests.web.browser.shop import Shop, filled_shop
from tests.web.browser.test_pages import problems_of
from tests.web.browser.walk import walk
from tests.web.browser.webdriver import Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BACKEND = Path(huey.__file__).parent / "contrib/djhuey/tasks_backend.py"
MODULE = "django.tasks" if find_spec("django.tasks") else "django_tasks"
if not (BACKEND.exists() and MODULE in BACKEND.read_text()):
    pytest.skip(
        f"Huey {huey.__version__} has no backend for the tasks of {MODULE}", allow_module_level=True
    )

SECONDS = 60
SETTINGS = """
INSTALLED_APPS += ["huey.contrib.djhuey", "huey_signals_kit.contrib.django"]
HUEY = {{"huey_class": "huey.RedisHuey", "name": {name!r}, "url": {url!r}, "immediate": False}}
TASKS = {{"default": {{"BACKEND": "huey.contrib.djhuey.tasks_backend.HueyBackend"}}}}
if {major} >= 6:
    from django.utils.csp import CSP
    MIDDLEWARE.append("django.middleware.csp.ContentSecurityPolicyMiddleware")
    SECURE_CSP = {{"default-src": [CSP.SELF]}}
"""
TASKS = """
from huey.contrib.djhuey import HUEY
from huey_signals_kit.cli._demo.shop import declare_shop_tasks
declare_shop_tasks(HUEY)
try:
    from django.tasks import task
except ImportError:
    from django_tasks import task

@task
def fails():
    raise ValueError
"""
FAIL = """
import django
django.setup()
from huey.contrib.djhuey import HUEY
from store.tasks import fails
known = HUEY.storage.enqueued_items()
failed = fails.enqueue()
(message,) = [each for each in HUEY.storage.enqueued_items() if each not in known]
HUEY.storage.conn.lrem(HUEY.storage.queue_key, 1, message)
HUEY.execute(HUEY.deserialize_task(message))
print(failed.id)
"""
USERS = """
import django
django.setup()
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
call_command("migrate", verbosity=0)
for name, codenames in (("actor", ["act_on_queue"]), ("reader", ["view_queue"]), ("staff", [])):
    user = User.objects.create_user(name, password=name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
"""


@contextmanager
def served(shop: Shop, redis_url: str) -> Iterator[tuple[str, str]]:
    """Run a project with the queue of the shop.

    Yield the address of its admin, and the id of one of Django's own tasks, which has failed.
    """
    major, port = django.VERSION[0], free_port()
    with TemporaryDirectory() as folder:
        settings = SETTINGS.format(name=shop.huey.name, url=redis_url, major=major)
        project = Project(Path(folder), settings, TASKS)
        project.write(
            "shop/urls.py", f"{(project.path / 'shop/urls.py').read_text()}\nimport store.tasks\n"
        )
        project.python(USERS)
        failed = project.python(FAIL).out.strip()
        log = project.path / "server.log"
        command = [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
        environment = {**project.environment, SETTING: "shop.settings"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=project.path, env=environment, stdout=output, stderr=output
            )
        try:
            url = f"http://127.0.0.1:{port}/admin/"
            wait_until(lambda: _answers(url), SECONDS, "Django's server", log)
            yield url, failed
        finally:
            process.terminate()
            process.wait(SECONDS)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=SECONDS).close()
    except urllib.error.URLError:
        return False
    return True


def log_in(browser: Browser, admin: str, user: str) -> None:
    """Log in as a user whose password is the name."""
    browser.cdp("Network.clearBrowserCookies")
    browser.open(f"{admin}login/")
    for field in ("username", "password"):
        browser.run(f"document.querySelector('[name={field}]').value = arguments[0]", user)
    browser.click("[type=submit]")
    wait_until(lambda: browser.url == admin, SECONDS, f"{user} to be logged in")


@pytest.fixture(scope="module")
def site(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Shop, str, str]]:
    """A queue, the address of the admin of a project that has it, and the id of a failed task."""
    with ExitStack() as stack:
        shop = stack.enter_context(filled_shop(redis_url, tmp_path_factory.mktemp("shop")))
        yield (shop, *stack.enter_context(served(shop, redis_url)))


def test_users_without_a_permission_are_refused(
    site: tuple[Shop, str, str], browser: Browser
) -> None:
    """A reader gets no form, and a form that is forged does nothing; others see nothing at all."""
    shop, admin, _ = site
    page, (act, *_) = f"{admin}huey_signals/queue/", acts_on(shop)
    log_in(browser, admin, "reader")
    browser.open(f"{page}act/{act.path}")
    assert browser.status == 403
    browser.open(f"{page}lock?name=reports/nightly")
    assert browser.status == 200
    assert "dead" in browser.text
    assert not browser.run("return Boolean(document.querySelector('form[method=post]'))")
    assert forge(browser, f"{page}act/release") == 403
    log_in(browser, admin, "staff")
    assert not browser.run("return document.body.innerHTML.includes('huey_signals/')")
    for name in PAGES:
        browser.open(f"{page}{name}")
        assert browser.status == 403
        assert "reports/nightly" not in browser.text
    assert not act.is_done()


def test_the_admin_has_the_page(site: tuple[Shop, str, str], browser: Browser, axe: str) -> None:
    """By a link of its index, with every page and act for those who may, and no more for others."""
    (shop, admin, failed), seen, problems = site, set(), []
    log_in(browser, admin, "actor")
    browser.click("a[href$='huey_signals/queue/']")
    wait_until(lambda: "huey_signals" in browser.url, SECONDS, "the page")
    page = f"{admin}huey_signals/queue/"
    browser.console()
    for name, _ in walk(browser, page, *shop.unlinked, most=1):
        seen.add(name)
        problems += problems_of(browser, axe, name)
    assert problems == []
    assert seen >= set(PAGES)
    done = set()
    for act in acts_on(shop):
        do(browser, page, act)
        done.add(act.name)
    waiting = shop.huey.storage.queue_size()
    run_again = Act(
        "run-again",
        f"run-again?id={failed}",
        failed,
        lambda: shop.huey.storage.queue_size() == waiting + 1,
    )
    do(browser, page, run_again)
    assert done | {run_again.name} == ACTS


def forge(browser: Browser, action: str) -> int:
    """Return the status of a form with the user's own token, sent from the page itself."""
    return int(
        browser.run(
            """
            const token = document.cookie.match(/csrftoken=(\\w+)/)[1];
            const body = new URLSearchParams({csrfmiddlewaretoken: token, name: "reports/nightly"});
            return (await fetch(arguments[0], {method: "POST", body})).status;
            """,
            action,
        )
    )
