"""Django's own tasks count as themselves, although Huey runs all of them as one task."""

from __future__ import annotations

import logging

import pytest
from huey.signals import SIGNAL_COMPLETE, SIGNAL_ERROR

from huey_signals_kit import install_handlers, upkeep
from huey_signals_kit.huey_internals.django_tasks import RUN_TASK_NAME
from huey_signals_kit.huey_internals.django_tasks import task_name as name_of_task
from huey_signals_kit.huey_internals.facts import declared_tasks
from huey_signals_kit.integrations.quiet_logs import QuietLogs
from huey_signals_kit.testing import record
from tests.support import hold, run_all

# Needs Django with its tasks, and Huey 3.5.
own_tasks = pytest.importorskip("tests.django.own_tasks", exc_type=ImportError)
TASKS = own_tasks.__name__


@pytest.fixture
def huey(make_huey):
    """A Huey in memory that runs the Django tasks."""
    huey = make_huey()
    with own_tasks.tasks_on(huey):
        yield huey


def names(kit, *signals, **filters):
    """Return a list that gets the names of the tasks of events."""
    seen = []
    kit.on(*signals, **filters)(lambda event: seen.append(event.task_name))
    return seen


def test_an_event_has_the_name_of_the_function(huey):
    """The name is the module path, for every signal."""
    seen = names(install_handlers(huey), SIGNAL_ERROR, SIGNAL_COMPLETE)
    own_tasks.greet.enqueue()
    own_tasks.fail.enqueue()
    run_all(huey)
    assert seen == [f"{TASKS}.greet", f"{TASKS}.fail"]


@pytest.mark.parametrize(
    ("tasks", "matched"),
    [
        (f"{TASKS}.g*", ["greet"]),
        (own_tasks.greet, ["greet"]),
        (own_tasks.greet.func, ["greet"]),
        ([own_tasks.plain, own_tasks.fail], ["fail", "plain"]),
        (own_tasks.plain_task, ["plain"]),
        ("*.djtasks.run", []),
    ],
)
def test_filters_match_the_function(huey, tasks, matched):
    """A filter is a glob over the module path, the task, or its function."""
    seen = names(install_handlers(huey), SIGNAL_COMPLETE, SIGNAL_ERROR, tasks=tasks)
    for each in (own_tasks.fail, own_tasks.greet, own_tasks.plain_task):
        each.enqueue()
    run_all(huey)
    assert sorted(seen) == [f"{TASKS}.{name}" for name in matched]


def test_the_huey_task_that_runs_them_matches_them_all(huey):
    """One filter names all Django tasks together."""
    kit = install_handlers(huey)
    seen = names(kit, SIGNAL_COMPLETE, tasks=own_tasks.tasks_backend._shim)
    own_tasks.greet.enqueue()
    run_all(huey)
    assert seen == [f"{TASKS}.greet"]


@pytest.mark.parametrize("sinks", [None, ["memory"]])
def test_counts_are_by_function(huey, sinks):
    """The labels of signals, lock skips, suppressed errors and metered durations name it."""
    kit = install_handlers(huey, sinks=sinks)
    hold(huey, own_tasks.LOCK)
    for each in (own_tasks.guarded, own_tasks.fail, own_tasks.greet, own_tasks.greet):
        each.enqueue()
    run_all(huey)
    own = {"task": f"{TASKS}.guarded"}
    assert kit.count("huey_signals_total", signal="locked", **own) == 1
    assert kit.count("huey_lock_skips_total", lock=own_tasks.LOCK, **own) == 1
    assert kit.count("huey_results_suppressed_total", verdict="drop", **own) == 1
    timed = {
        name: kit.count("huey_task_duration_seconds", task=f"{TASKS}.{name}")
        for name in ("greet", "fail", "guarded")
    }
    assert timed == ({"greet": 2, "fail": 1, "guarded": 0} if sinks else dict.fromkeys(timed, 0))
    assert kit.count("huey_signals_total", task=RUN_TASK_NAME) == 0


def test_no_series_has_the_name_of_the_huey_task(huey):
    """Sinks show the declared tasks at zero before anything was counted."""
    assert RUN_TASK_NAME not in declared_tasks(huey)


def test_quiet_logs_name_the_function(huey, caplog):
    """The summary of a lock has its name."""
    kit = install_handlers(huey, quiet_logs=True)
    hold(huey, own_tasks.LOCK)
    own_tasks.guarded.enqueue()
    run_all(huey)
    (quiet,) = (each for each in kit._components if isinstance(each, QuietLogs))
    with caplog.at_level(logging.WARNING, "huey_signals_kit"):
        quiet.summarize()
    assert f"({TASKS}.guarded 1)" in caplog.text


def lines_of_django(caplog):
    """Return what Django has logged about failed tasks."""
    loggers = ("django.tasks", "django_tasks")
    return [
        record.getMessage()
        for record in caplog.records
        if record.name in loggers and record.levelno == logging.ERROR
    ]


@pytest.mark.parametrize(("quiet", "lines"), [(True, 1), (False, 2)])
def test_quiet_logs_leave_out_djangos_error_about_a_skip(huey, caplog, quiet, lines):
    """Its record has a traceback; the error about a real failure stays."""
    install_handlers(huey, quiet_logs=quiet)
    hold(huey, own_tasks.LOCK)
    own_tasks.guarded.enqueue()
    failed = own_tasks.fail.enqueue().id
    run_all(huey)
    logged = lines_of_django(caplog)
    assert (len(logged), [failed in line for line in logged][-1]) == (lines, True)


def test_quiet_logs_of_another_huey_leave_out_nothing(huey, make_huey, caplog):
    """Each kit has its own setting."""
    other = make_huey()
    install_handlers(other, quiet_logs=True)
    install_handlers(huey)
    hold(huey, own_tasks.LOCK)
    own_tasks.guarded.enqueue()
    run_all(huey)
    assert len(lines_of_django(caplog)) == 1


def test_breadcrumbs_are_kept_by_function(huey):
    """The events of another Django task do not get them."""
    kit = install_handlers(huey)
    hold(huey, own_tasks.LOCK)
    own_tasks.guarded.enqueue()
    run_all(huey)
    recent = kit._context.add_skip_breadcrumb.__self__.recent
    assert [len(recent(f"{TASKS}.{name}")) for name in ("guarded", "greet")] == [1, 0]


def test_a_lock_names_the_function_that_holds_it(any_kind, make_huey):
    """The second task of the process does so too, whose value is made from a template."""
    huey = make_huey(any_kind)
    kit = install_handlers(huey)
    seen = []
    with own_tasks.tasks_on(huey):
        for each in (own_tasks.guarded, own_tasks.guarded_with_context, own_tasks.guarded):
            result = each.enqueue()
            task = huey.dequeue()

            def execute(task=task, result=result):
                with huey.lock_task("mine"):
                    (lock,) = (lock for lock in kit.locks() if lock.name == "mine")
                    seen.append((lock.task_name, lock.task_id == result.id))

            task.execute = execute
            huey.execute(task)
    assert seen == [
        (f"{TASKS}.guarded", True),
        (f"{TASKS}.guarded_with_context", True),
        (f"{TASKS}.guarded", True),
    ]


def test_a_heartbeat_names_the_function_that_runs(any_kind, make_huey):
    """The commands `report` and `top` show the name."""
    huey = make_huey(any_kind)
    kit = install_handlers(huey)
    with own_tasks.tasks_on(huey):
        own_tasks.greet.enqueue()
        task = huey.dequeue()
        kit._heartbeat.write()
        consumers = kit.report().consumers if any_kind != "memory" else []
        running = [each["task"] for consumer in consumers for each in consumer.running]
        assert task is not None
    assert running == ([f"{TASKS}.greet"] if any_kind != "memory" else [])


def test_explain_names_the_function(any_kind, make_huey):
    """The task is in the queue, in the schedule, or nested in another message."""
    huey = make_huey(any_kind)

    @huey.task()
    def first():
        return None

    shim = own_tasks.tasks_backend
    with own_tasks.tasks_on(huey):
        queued = own_tasks.greet.enqueue().id
        later = shim._shim.schedule((f"{TASKS}.fail", [], {}), delay=3600).id
        pipeline = first.s().then(shim._shim, f"{TASKS}.guarded", [], {})
        huey.enqueue(pipeline)
        stage = pipeline.on_complete.id
    found = {each: upkeep.explain(huey, each, patience=0) for each in (queued, later, stage)}
    assert [found[each].task_name for each in (queued, later, stage)] == [
        f"{TASKS}.greet",
        f"{TASKS}.fail",
        f"{TASKS}.guarded",
    ]
    assert [found[each].places[0].task_name for each in (queued, later)] == [
        f"{TASKS}.greet",
        f"{TASKS}.fail",
    ]
    (location,) = upkeep.find_task(huey, queued)
    assert location.task_name == f"{TASKS}.greet"


@pytest.mark.parametrize(
    "first",
    [(), (3,), (None,), ("",), ("greet",), ("a." * 200 + "b",), ("a..b",), ("a\nb.c",), (b"a.b",)],
)
def test_a_first_argument_that_is_no_module_path(huey, first):
    """The event has the name of the Huey task then."""
    task = own_tasks.tasks_backend._shim.s(*first)
    assert name_of_task(task) == RUN_TASK_NAME


def test_a_task_of_that_name_in_another_module(huey):
    """The kit treats it as an ordinary task."""
    seen = names(install_handlers(huey), SIGNAL_COMPLETE)
    own = huey.task(name="djtasks.run")(lambda path: None)
    own("a.b")
    run_all(huey)
    assert seen == [f"{own.task_class.__module__}.djtasks.run"]


def test_the_tools_for_tests_take_them(huey):
    """A recorder counts by the task, by its function, and by a glob."""
    with record(huey) as recorded:
        hold(huey, own_tasks.LOCK)
        own_tasks.guarded.enqueue()
        own_tasks.keeps.enqueue()
        run_all(huey)
    tasks = (own_tasks.guarded, own_tasks.guarded.func, "*.guarded", None)
    assert [recorded.skips(each) for each in tasks] == [1, 1, 1, 2]
    assert {each.task_name: str(each.verdict) for each in recorded.verdicts} == {
        f"{TASKS}.guarded": "DROP",
        f"{TASKS}.keeps": "KEEP",
    }


def test_a_function_that_no_task_was_made_from(huey):
    """The kit refuses it as a filter, because it would match nothing."""
    kit = install_handlers(huey)
    with pytest.raises(TypeError, match="or as a Django task in its own module"):
        kit.on(tasks=run_all)
