"""The acts of the page: what each confirmation says, and what its form does."""

from __future__ import annotations

import logging
import re
import subprocess
import threading
from datetime import timedelta
from html import unescape
from urllib.parse import quote as percent

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey, crontab

from huey_signals_kit import install_handlers
from huey_signals_kit.ledger import open_ledger
from huey_signals_kit.signals import page_action, sweep_finished
from huey_signals_kit.upkeep import sweep_tokens
from huey_signals_kit.web import Request, Site
from huey_signals_kit.web._acts import ACT_PAGES, cleaning
from huey_signals_kit.web._acts.command import command, quote
from huey_signals_kit.web._guard import ACTS
from huey_signals_kit.web._switches import digest
from tests.locks import GONE, taken_by
from tests.selection import USUAL, combinations
from tests.support import locks, run_all, store, tokens, wait_until
from tests.web.acting import HOSTILE, SAME, confirm, form_of, get, notice_of, post, text_of

SECRET = "the card of a customer"
ORPHAN = "5f0c1f7e-0d4c-4c55-9d53-1f3f5b9c3a10"


@pytest.fixture
def site(any_huey):
    """The page of one queue, with all rights."""
    return Site(any_huey, access=lambda request: "act")


@pytest.fixture
def memory_huey():
    """A Huey where the storage makes no difference."""
    return MemoryHuey("shop")


def declare(huey):
    """Declare a task and a periodic one; return both."""

    @huey.task()
    def pay(order):
        return order

    @huey.periodic_task(crontab(minute="0"))
    def nightly():
        pass

    return pay, nightly


def name_of(task):
    return f"{task.task_class.__module__}.{task.task_class.__name__}"


def prepare(huey, act):
    """Make what an act is about; return the query of its confirmation."""
    pay, nightly = declare(huey)
    if act == "release":
        taken_by(huey, "import", GONE)
        return "name=import"
    if act in ("revoke", "restore"):
        result = pay(1)
        if act == "restore":
            result.revoke()
        return f"id={result.id}"
    if act == "delete-token":
        huey.revoke_by_id(ORPHAN)
        return f"key=r:{ORPHAN}"
    if act == "purge":
        huey.task(name="locked")(huey.lock_task("held")(lambda: None))()
        with huey.lock_task("held"):
            run_all(huey)
        return "classes=TaskLockedException"
    if act == "sweep":
        huey.revoke_by_id(ORPHAN)
        return ""
    if act == "resume":
        pay.revoke()
    return f"name={name_of(nightly if act == 'run-now' else pay)}"


def state_of(huey):
    """Return everything that an act could change, without the kit's own data."""
    return store(huey), huey.pending_count(), huey.scheduled_count()


DOABLE = sorted(ACTS - {"run-again"})  # tested where there is Django


def test_every_act_has_a_page():
    """The set that `access` may grant has exactly the actions with a page."""
    assert {page.act_name for page in ACT_PAGES.values()} == ACTS


@pytest.mark.parametrize(("act", "any_kind"), combinations(DOABLE, USUAL))
def test_a_confirmation_changes_nothing(any_huey, site, act):
    """Only a POST changes something; other methods are refused."""
    query = prepare(any_huey, act)
    before = state_of(any_huey)
    assert get(site, f"/act/{act}?{query}").status == 200
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        fields = form_of(get(site, f"/act/{act}?{query}"))[1]
        request = Request(method, f"/act/{act}", query=fields, headers=SAME, form=fields)
        assert site.respond(request).status == (405 if method in ("PUT", "DELETE") else 200)
    assert state_of(any_huey) == before


@pytest.mark.parametrize("act", DOABLE)
def test_an_act_needs_its_permission(memory_huey, act):
    """The permissions to read and for every other action do not even show the form."""
    query = prepare(memory_huey, act)
    form = form_of(get(Site(memory_huey, access=lambda request: "act"), f"/act/{act}?{query}"))
    before = state_of(memory_huey)
    for granted in ("read", ACTS - {act}):
        site = Site(memory_huey, access=lambda request, granted=granted: granted)
        assert post(site, *form).status == 403
        assert get(site, f"/act/{act}?{query}").status == 403
    assert state_of(memory_huey) == before
    allowed = Site(memory_huey, access=lambda request: {act})
    assert post(allowed, *form).status == 303


@pytest.mark.parametrize("act", DOABLE)
def test_a_form_of_another_site_does_nothing(memory_huey, act):
    """A form with all the right fields is refused if it comes from another site."""
    query = prepare(memory_huey, act)
    site = Site(memory_huey, access=lambda request: "act")
    form = form_of(get(site, f"/act/{act}?{query}"))
    before = state_of(memory_huey)
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {}):
        assert post(site, *form, headers={"host": "ops.example", **headers}).status == 403
    assert state_of(memory_huey) == before


@pytest.mark.parametrize(
    ("act", "any_kind"), combinations(sorted(set(DOABLE) - {"sweep", "purge"}), USUAL)
)
def test_each_act_is_done_and_says_so(any_huey, site, act):
    """A redirect leads to a page with a notice, so a reload does not repeat the action."""
    query = prepare(any_huey, act)
    pay, nightly = (any_huey._registry._registry[name] for name in sorted_tasks(any_huey))
    before = state_of(any_huey)
    notice = notice_of(site, confirm(site, f"/act/{act}?{query}"))
    after = store(any_huey)
    if act == "release":
        assert (notice, locks(any_huey)) == ("The lock was released.", set())
    elif act in ("restore", "resume", "delete-token"):
        assert after == {}
    elif act == "revoke":
        assert any_huey.is_revoked(query.removeprefix("id="))
    elif act == "pause":
        until, once = any_huey.get(f"rt:{pay.__module__}.{pay.__name__}", peek=True)
        assert until - any_huey._get_timestamp() > timedelta(minutes=59)
        assert not once
    elif act == "run-now":
        assert any_huey.pending_count() == before[1] + 1
        assert isinstance(any_huey.dequeue(), nightly)
    assert notice.startswith(("The ", "One "))


def sorted_tasks(huey):
    return sorted(huey._registry._registry, key=lambda name: not name.endswith("pay"))


def test_a_revoked_task_does_not_run_and_a_restored_one_does(memory_huey):
    """Both work as Huey's own methods do."""
    pay, _ = declare(memory_huey)
    site = Site(memory_huey, access=lambda request: "act")
    first, second = pay(1), pay(2)
    confirm(site, f"/act/revoke?id={first.id}")
    confirm(site, f"/act/revoke?id={second.id}")
    confirm(site, f"/act/restore?id={second.id}")
    run_all(memory_huey)
    assert (first.get(), second.get()) == (None, 2)


def test_a_paused_task_is_skipped_until_it_is_resumed(memory_huey):
    """The page of its name says until when."""
    pay, _ = declare(memory_huey)
    site = Site(memory_huey, access=lambda request: "act")
    name = name_of(pay)
    confirm(site, f"/act/pause?name={name}")
    assert "paused until" in text_of(get(site, f"/task?name={name}"))
    assert pay.is_revoked()
    confirm(site, f"/act/resume?name={name}")
    assert not pay.is_revoked()
    assert "not paused" in text_of(get(site, f"/task?name={name}"))


def test_a_pause_takes_only_the_times_that_are_offered(memory_huey):
    """An endless pause, or one that is already over, is refused."""
    pay, _ = declare(memory_huey)
    site = Site(memory_huey, access=lambda request: "act")
    for choice in ("", "0", "-5", "1e99", "999999999999"):
        form = {"name": name_of(pay), "choice": choice}
        assert post(site, "/act/pause", form).status == 409
    assert tokens(memory_huey) == set()


def test_a_token_that_changed_stays(any_huey, site):
    """The value that the form names must still be stored, byte by byte."""
    pay, _ = declare(any_huey)
    result = pay(1)
    result.revoke()
    form = form_of(get(site, f"/act/delete-token?key=r:{result.id}"))
    any_huey.revoke_by_id(result.id, any_huey._get_timestamp() + timedelta(days=1))
    response = post(site, *form)
    assert response.status == 409
    assert "was deleted or replaced" in text_of(response)
    assert tokens(any_huey) == {f"r:{result.id}"}


def test_a_token_that_can_still_stop_a_run_is_deleted_only_with_a_warning(any_huey, site):
    """The confirmation says that its task runs then; the sweep would leave the token."""
    pay, _ = declare(any_huey)
    result = pay(1)
    result.revoke()
    page = get(site, f"/act/delete-token?key=r:{result.id}")
    assert "Its task is still queued or scheduled, so it will run." in text_of(page)
    assert notice_of(site, post(site, *form_of(page))) == "The token was deleted."
    run_all(any_huey)
    assert result.get() == 1


@pytest.mark.parametrize(
    "key", ["r:", "rt:", "import", "q.lock.import", "r:x.lock.import", "*", ""]
)
def test_only_tokens_can_be_deleted(key):
    """A lock whose key looks like that of a token is refused, and so is a pattern."""
    huey = MemoryHuey("r:x")
    site = Site(huey, access=lambda request: "act")
    taken_by(huey, "import", GONE)
    huey.revoke_by_id("a")
    before = store(huey)
    assert get(site, f"/act/delete-token?key={key}").status == 404
    for raw in before.values():
        form = {"key": key, "value": digest(raw)}
        assert post(site, "/act/delete-token", form).status == 409
    assert store(huey) == before


def test_a_pattern_is_a_name(any_huey, site):
    """The token of an id with an asterisk is deleted, and no other; so does its command."""
    for name in ("a*", "ab", "ac"):
        any_huey.revoke_by_id(name)
    page = get(site, "/act/delete-token?key=r:a*")
    assert "'r:a[*]' --apply" in text_of(page)
    assert post(site, *form_of(page)).status == 303
    assert tokens(any_huey) == {"r:ab", "r:ac"}


def test_a_task_that_does_not_exist_is_not_revoked(memory_huey):
    """A pause switch without effect would only mislead."""
    site = Site(memory_huey, access=lambda request: "act")
    declare(memory_huey)
    for path in ("revoke?id=nothing", "revoke?name=a.b", "pause?name=a.b", "run-now?name=a.b"):
        page = get(site, f"/act/{path}")
        assert "This is not possible now." in text_of(page)
        assert form_of(page) is None
    for form in ({"name": "a.b", "choice": "900"}, {"name": ""}, {}):
        assert post(site, "/act/pause", form).status == 409
        assert post(site, "/act/run-now", form).status == 409
    assert state_of(memory_huey) == ({}, 0, 0)


def test_a_form_that_enqueues_works_once(any_huey, site):
    """A second POST of it, as by a reload, enqueues nothing, in whichever process."""
    query = prepare(any_huey, "run-now")
    form = form_of(get(site, f"/act/run-now?{query}"))
    assert post(site, *form).status == 303
    assert post(site, *form).status == 409
    assert post(Site(any_huey, access=lambda request: "act"), *form).status == 409
    for forged in ("", "0", "99999999999-" + 32 * "a", form[1]["form_id"] + "a"):
        assert post(site, form[0], {**form[1], "form_id": forged}).status == 409
    assert any_huey.pending_count() == 1


def test_only_a_periodic_task_runs_without_arguments(memory_huey):
    """Other tasks may need arguments, so they are refused."""
    pay, nightly = declare(memory_huey)
    site = Site(memory_huey, access=lambda request: "act")
    page = get(site, f"/act/run-now?name={name_of(pay)}")
    assert "Only periodic tasks can be run from here" in text_of(page)
    nightly.revoke()
    assert "is paused" in text_of(get(site, f"/act/run-now?name={name_of(nightly)}"))


def test_a_failed_task_without_a_message_says_why_it_cannot_run_again(any_huey, site):
    """Huey has deleted the message, and the error has no arguments."""

    @any_huey.task()
    def fail(secret):
        raise ValueError(secret)

    result = fail(SECRET)
    run_all(any_huey)
    for path in ("/task", "/act/run-again"):
        page = get(site, f"{path}?id={result.id}")
        assert "Huey deletes the message of a task" in text_of(page)
        assert SECRET not in page.body.decode()
        assert form_of(page) is None
    assert post(site, "/act/run-again", {"id": result.id, "value": ""}).status == 409
    assert any_huey.pending_count() == 0


def test_no_page_shows_arguments_results_or_texts_of_errors(any_huey, site):
    """The page of a task, its JSON and each confirmation leave them out."""

    @any_huey.task()
    def fail(secret, key=""):
        raise ValueError(secret)

    @any_huey.task()
    def answer(secret):
        return secret

    failed, done, waiting = fail(SECRET), answer(SECRET), None
    run_all(any_huey)
    waiting = fail(SECRET, key=SECRET)
    for result in (failed, done, waiting):
        for path in ("/task", "/task.json", "/act/revoke", "/act/run-again", "/act/run-again.json"):
            assert SECRET.encode() not in get(site, f"{path}?id={result.id}").body


def test_an_act_is_logged_counted_and_announced_with_its_user(any_huey, site, caplog):
    """Log and signal name the object, the count of changes and the user."""
    query = prepare(any_huey, "pause")
    name = query.removeprefix("name=")
    announced = []

    def on_act(sender, **fields):
        announced.append((sender, fields))

    with install_handlers(any_huey) as kit, page_action.connected_to(on_act, sender=any_huey):
        caplog.set_level(logging.INFO, "huey_signals_kit")
        confirm(site, f"/act/pause?{query}", user="anna")
        expected = {"action": "pause", "target": name, "count": 1, "user": "anna"}
        assert announced == [(any_huey, expected)]
        assert kit.count("huey_page_actions_total", action="pause") == 1
    (line,) = [record for record in caplog.records if getattr(record, "huey_action", "") == "pause"]
    assert "'anna'" in line.getMessage()
    assert (line.huey_object, line.huey_count) == (name, 1)


def test_a_refused_act_is_not_counted(memory_huey):
    """An action counts only if it was done."""
    site = Site(memory_huey, access=lambda request: "act")
    with install_handlers(memory_huey) as kit:
        post(site, "/act/release", {"name": "x", "acquisition": ""})
        post(site, "/act/resume", {"name": "x", "value": ""})
        assert kit.count("huey_page_actions_total") == 0


def ended(site, act, query=""):
    """Return the page of an act when its run in the background has ended."""

    def page():
        found = get(site, f"/act/{act}?done={act}&{query}")
        return found if re.search(": (done|stopped)", text_of(found)) else None

    return wait_until(page, 20, f"the end of the {act}")


def test_a_purge_deletes_what_its_dry_run_has_counted(any_huey, site):
    """A purge deletes exactly the errors that its dry run counted, and the page says how many."""
    query = prepare(any_huey, "purge")
    any_huey.put_result("other", 5)
    page = wait_until(
        lambda: form_of(found := get(site, f"/act/purge?{query}")) and found, 20, "the count"
    )
    assert "Would be deleted1" in text_of(page)
    assert post(site, *form_of(page)).status == 303
    assert "Deleted1" in text_of(ended(site, "purge", query))
    assert set(store(any_huey)) == {"other"}


def test_a_purge_takes_the_classes_that_the_command_takes(memory_huey):
    """The page refuses the same names, and shows the same command."""
    site = Site(memory_huey, access=lambda request: "act")
    page = get(site, "/act/purge?classes=ValueError,KeyError")
    assert "--exception KeyError --exception ValueError --apply" in text_of(page)
    assert get(site, "/act/purge?classes=a.b").status == 404
    assert post(site, "/act/purge", {"classes": "<script>"}).status == 409
    assert get(site, "/act/purge?classes=" + ",".join(f"A{n}" for n in range(50))).status == 404


def test_a_sweep_marks_first_as_the_command_does(any_huey, site):
    """A token goes only after two sweeps, a day apart; a kit announces the report."""
    query = prepare(any_huey, "sweep")
    reports, acts = [], []
    with (
        install_handlers(any_huey),
        sweep_finished.connected_to(lambda sender, report: reports.append(report)),
        page_action.connected_to(lambda sender, **fields: acts.append(fields)),
    ):
        page = wait_until(
            lambda: form_of(found := get(site, f"/act/sweep?{query}")) and found, 20, "the count"
        )
        assert "Would be marked (a later sweep deletes them)1" in text_of(page)
        assert post(site, *form_of(page), user="anna").status == 303
        assert "Marked (a later sweep deletes them)1" in text_of(ended(site, "sweep"))
        wait_until(lambda: acts, 10, "the announcement")
    assert [report.marked for report in reports] == [1]
    assert acts == [{"action": "sweep", "target": "", "count": 0, "user": "anna"}]
    assert tokens(any_huey) == {f"r:{ORPHAN}"}
    assert sweep_tokens(any_huey, dry_run=True).marked == 1


def test_a_sweep_waits_for_the_lease_of_a_process_that_is_gone(any_huey, site):
    """Also on a storage where it does not expire by itself."""
    query = prepare(any_huey, "sweep")
    page = wait_until(
        lambda: form_of(found := get(site, f"/act/sweep?{query}")) and found, 20, "the count"
    )
    assert open_ledger(any_huey).lease("sweep", 0.3).acquire()
    assert post(site, *form_of(page)).status == 303
    assert "Marked (a later sweep deletes them)1" in text_of(ended(site, "sweep"))


def purge_form(site):
    """Return the form of the purge, when its dry run has ended."""
    return wait_until(lambda: form_of(get(site, "/act/purge")), 20, "the dry run")


def test_one_long_act_runs_at_a_time(memory_huey, monkeypatch):
    """A second one is refused while it runs, and the page says how far it is."""
    site = Site(memory_huey, access=lambda request: "act")
    may_end = threading.Event()

    def purge(huey, classes, dry_run, *, on_progress):
        report = cleaning.PurgeReport(scanned=1234, deleted=7, dry_run=dry_run)
        if not dry_run:
            on_progress(report)
            assert may_end.wait(20)
        return report

    monkeypatch.setattr(cleaning, "purge_errors", purge)
    forms = [purge_form(site), purge_form(site)]
    assert post(site, *forms[0]).status == 303
    page = wait_until(
        lambda: "1,234" in text_of(found := get(site, "/act/purge")) and found, 10, "the progress"
    )
    running = "A purge of TaskLockedException is running: 1,234 keys read, 7 deleted so far."
    assert running in text_of(page)
    assert form_of(page) is None
    assert ("Refresh", "2") in page.headers
    for act in ("purge", "sweep"):
        response = post(site, f"/act/{act}", forms[1][1])
        assert response.status == 409
        assert "A purge, or its dry run, is running" in text_of(response)
    may_end.set()
    page = text_of(ended(site, "purge"))
    assert "Deleted7" in page
    assert "The purge was started" not in page
    assert post(site, *forms[0]).status == 409


def test_a_long_act_that_fails_says_what_it_has_done(memory_huey, monkeypatch, caplog):
    """The page shows the reason, the log the traceback, and what was done is announced."""
    site = Site(memory_huey, access=lambda request: "act")
    report = cleaning.PurgeReport(scanned=9, deleted=3)

    def purge(huey, classes, dry_run, *, on_progress):
        if not dry_run:
            on_progress(report)
            raise ConnectionError("<b>away</b>")
        return report

    monkeypatch.setattr(cleaning, "purge_errors", purge)
    post(site, *purge_form(site))
    page = ended(site, "purge")
    assert "Purge lock errors: stopped" in text_of(page)
    assert "The rest was not read: ConnectionError('<b>away</b>')" in text_of(page)
    assert "<b>away" not in page.body.decode()
    assert "Deleted3" in text_of(page)
    assert "The purge of the queue 'shop' failed" in caplog.text


@pytest.mark.parametrize(
    "name", [HOSTILE, "-rf", "a b", "$(id)", "`id`", "a\nb", "ü\u200b", "'", "\udcff"]
)
def test_a_command_passes_any_name_through_a_shell(name):
    """The name arrives whole, as one word, and no invisible character is in the command."""
    word = quote(name)
    assert word.isprintable()
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == name.encode("utf-8", "surrogateescape")


def test_a_name_that_no_shell_passes_has_no_command(memory_huey):
    """A NUL or a megabyte leaves no command; a name like an option follows two dashes."""
    for name in ("a\0b", "x" * 1_000_000):
        assert command(memory_huey, "locks", names=(name,)) == ""
    assert command(memory_huey, "locks", names=("-x",)) == "huey-signals locks HUEY --apply -- -x"


def test_hostile_names_are_escaped_on_every_confirmation(any_huey, site):
    """A lock with such a name is found by its link, and released."""
    release_by_links(any_huey, site, HOSTILE)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 1_000_000, marks=pytest.mark.slow),
        "x" * 501,
        "\udcff",
        "a\r\nb",
        "digest:1",
        " ",
        "100%25",
        "+",
    ],
)
def test_any_name_survives_links_and_forms(memory_huey, name):
    """Line ends, bytes that are not UTF-8, and a name that looks encoded arrive unchanged."""
    release_by_links(memory_huey, Site(memory_huey, access=lambda request: "act"), name)


def release_by_links(huey, site, name):
    taken_by(huey, name, GONE)
    link = wait_until(lambda: link_in(get(site, "/locks"), "/lock?"), 60, "the link")
    rows, page = get(site, "/locks"), get(site, link)
    confirmation = get(site, link_in(page, "/act/release?"))
    for body in (each.body.decode() for each in (rows, page, confirmation)):
        assert "<script>alert" not in body
        assert "\x1b" not in body
        assert "\u202e" not in body
        assert len(body) < 20_000
    assert post(site, *form_of(confirmation)).status == 303
    assert locks(huey) == set()


def link_in(response, beginning):
    body = response.body.decode()
    start = body.find(f'href="{beginning}')
    return unescape(body[start + 6 :].partition('"')[0]) if start >= 0 else ""


def test_hostile_ids_are_escaped(any_huey, site):
    """The page of the task and the confirmations escape them."""
    any_huey.revoke_by_id(HOSTILE)
    for path in (f"/task?id={percent(HOSTILE)}", f"/act/delete-token?key=r:{percent(HOSTILE)}"):
        body = get(site, path).body.decode()
        assert "alert(1)" in body
        assert "<script>alert" not in body
        assert "\x1b" not in body
        assert "{{7*7}}" in body
    page = get(site, f"/act/delete-token?key=r:{percent(HOSTILE)}")
    assert post(site, *form_of(page)).status == 303
    assert tokens(any_huey) == set()


def test_an_id_of_a_megabyte_is_only_refused(memory_huey):
    """No form could send it."""
    site = Site(memory_huey, access=lambda request: "act")
    memory_huey.revoke_by_id("x" * 1_000_000)
    assert get(site, "/act/delete-token?key=r:" + "x" * 1_000_000).status == 404
    assert len(tokens(memory_huey)) == 1
