"""``build_error_result`` and ``put_result`` of a user's own are called as Huey calls them."""

from __future__ import annotations

from collections import OrderedDict
from types import MethodType

import huey as huey_package
import pytest
from huey import MemoryHuey
from huey.exceptions import TaskException, TaskLockedException
from huey.utils import Error

from huey_signals_kit import DROP, KEEP, expire, install_handlers, uninstall_handlers
from tests.support import BUILDS, hold, results, run_all, stored_errors

chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")


class Unpicklable:
    """What no result store takes."""

    def __reduce__(self):
        raise TypeError("never stored")


def by_subclass(huey, build):
    """*huey* becomes one of a class that overrides the method."""
    base = type(huey)
    huey.__class__ = type("Mine", (base,), {"build_error_result": build})
    return lambda: install_handlers(huey, preset="observe")


def on_the_instance(huey, build):
    """Other code has put its method on the instance before the kit."""
    huey.build_error_result = MethodType(build, huey)
    return lambda: install_handlers(huey, preset="observe")


def around_the_kit(huey, build):
    """Other code wraps what it finds there after the kit was installed."""

    def install():
        kit = install_handlers(huey, preset="observe")
        found = huey.build_error_result

        def build_error_result(task, exception):
            return {**found(task, exception), **build(huey, task, exception)}

        huey.build_error_result = build_error_result
        return kit

    return install


PLACES = [by_subclass, on_the_instance, around_the_kit]


def observed(huey, place, metadata, verdict=None):
    """A kit on *huey*, whose method answers *metadata*, and the calls of that method."""
    calls = []

    def build_error_result(self, task, exception):
        calls.append((self, task.id, exception))
        return metadata(self, task, exception) if callable(metadata) else metadata

    kit = place(huey, build_error_result)()
    if verdict is not None:
        kit.on("locked", "error")(lambda event: verdict)
    return kit, calls


def declare(huey, **options):
    """A task that takes the lock ``held``, which another one has."""
    hold(huey, "held")

    @huey.task(**options)
    @huey.lock_task("held")
    def guarded(*_):
        """Never runs."""

    return guarded


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("retries", [0, 2])
def test_it_is_called_as_often_and_with_the_same_as_without_a_verdict(make_huey, place, retries):
    """Whatever is decided; also of the later stages of a pipeline."""
    counted = {}
    for verdict in (None, KEEP, DROP, expire(60)):
        huey = make_huey("memory", name="calls")
        _, calls = observed(huey, place, {"error": "mine"}, verdict)
        guarded = declare(huey, retries=retries)
        first = guarded.s()
        huey.enqueue(first.then(guarded))
        run_all(huey)
        assert {(each[0], each[1], str(each[2])) for each in calls} == {
            (huey, first.id, "unable to acquire lock held")
        }
        counted[verdict] = len(calls)
    assert len(set(counted.values())) == 1


@pytest.mark.parametrize("place", PLACES)
def test_drop_stores_nothing_of_it(any_kind, make_huey, place):
    """Though the method has said something, which no storage could even take."""
    huey = make_huey(any_kind)
    kit, calls = observed(huey, place, {"error": "mine", "extra": Unpicklable()}, DROP)
    declare(huey)()
    run_all(huey)
    assert len(calls) == BUILDS
    assert stored_errors(huey) == results(huey) == {}
    assert kit.count("huey_results_suppressed_total", verdict="drop") == 1


@pytest.mark.parametrize("place", PLACES)
def test_expire_keeps_its_fields(any_kind, make_huey, place):
    """A long text as well; only the traceback is emptied, and whoever waits gets all of it."""
    huey = make_huey(any_kind)
    fields = {"error": "mine " + "x" * 500, "code": 17, "traceback": "long", "tags": ["a", "b"]}
    observed(huey, place, lambda *_: dict(fields), expire(60))
    result = declare(huey)()
    run_all(huey)
    with pytest.raises(TaskException) as waited:
        result.get(preserve=True)
    metadata = dict(waited.value.metadata)
    assert metadata.pop("expires") > 0
    own = {"retries": 0, "task_id": result.id} if place is around_the_kit else {}
    assert metadata == {**own, **fields, "traceback": ""}


@pytest.mark.parametrize("place", PLACES)
def test_what_it_returns_is_not_changed(make_huey, place):
    """It may be a constant of the user's; a class of its own is kept where it is changed."""
    huey = make_huey("memory")
    constant = OrderedDict(error="mine", traceback="long")
    for verdict in (KEEP, DROP, expire(60)):
        kit, _ = observed(huey, place, constant, verdict)
        declare(huey)() if verdict is KEEP else huey._registry.string_to_task(f"{__name__}.guarded")
        task = huey._registry.string_to_task(f"{__name__}.guarded")()
        exception = TaskLockedException("unable to acquire lock held")
        huey.enqueue(task)
        run_all(huey)
        assert exception is not None
        assert constant == {"error": "mine", "traceback": "long"}
        kit.uninstall()
        vars(huey).pop("build_error_result", None)
        if place is by_subclass:
            huey.__class__ = MemoryHuey


@pytest.mark.parametrize("metadata", ["text", None, ["error"], 17])
@pytest.mark.parametrize("verdict", [KEEP, DROP, expire(60)], ids=str)
@pytest.mark.parametrize("place", [by_subclass, on_the_instance])
def test_what_is_no_dict_is_stored_as_it_is(any_kind, make_huey, place, metadata, verdict):
    """Whatever is decided: the kit cannot tell what it means."""
    huey = make_huey(any_kind)
    kit, _ = observed(huey, place, metadata, verdict)
    result = declare(huey)()
    run_all(huey)
    assert stored_errors(huey) == {result.id: metadata}
    assert kit.count("huey_results_suppressed_total") == 0


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("by", ["option", "handler"])
def test_what_is_kept_on_purpose_says_so(make_huey, place, by):
    """With the fields and the traceback of the user's own."""
    huey = make_huey("sqlite")
    verdict = KEEP if by == "handler" else None
    kit, calls = observed(huey, place, {"error": "TaskLockedException('mine')", "code": 1}, verdict)
    options = {"lock_errors": "keep"} if by == "option" else {}
    result = declare(huey, **options)()
    run_all(huey)
    (metadata,) = stored_errors(huey).values()
    assert (metadata["kept"], metadata["code"], len(calls)) == (True, 1, BUILDS)
    assert kit.report().kept == {"TaskLockedException": 1}
    assert stored_errors(huey).keys() == {result.id}


@chord_only
@pytest.mark.parametrize("place", PLACES)
def test_a_part_of_a_chord_has_its_fields(any_kind, make_huey, place):
    """It is always written, without the traceback and as plain data."""
    huey = make_huey(any_kind)
    observed(huey, place, {"error": "mine", "code": 17, "traceback": "x" * 999}, DROP)
    guarded, seen = declare(huey), []
    total = huey.task(name="total")(lambda parts: seen.extend(parts))
    huey.enqueue(huey_package.chord([guarded.s(), guarded.s()], total.s()))
    run_all(huey)
    assert len(seen) == 2
    for part in seen:
        if isinstance(part, Error):  # Huey before 3.4 hands on the exception
            assert (part.metadata["error"], part.metadata["code"]) == ("mine", 17)
            assert part.metadata["traceback"] == ""
            assert {type(each) for each in part.metadata.values()} <= {str, int}


@pytest.mark.parametrize("place", [by_subclass, on_the_instance])
def test_what_it_raises_is_hueys_to_handle(make_huey, place):
    """As without the kit: it ends the execution of the task."""
    huey = make_huey("memory")

    def fails(*_):
        raise RuntimeError("no metadata")

    _, calls = observed(huey, place, fails, DROP)
    declare(huey)()
    with pytest.raises(RuntimeError, match="no metadata"):
        run_all(huey)
    assert len(calls) == 1


def test_an_immediate_huey_with_an_override(make_huey):
    """The caller reads the fields of the user's own at once."""
    huey = make_huey("memory", immediate=True)
    observed(huey, by_subclass, {"error": "mine", "code": 17}, expire(60))
    result = declare(huey)()
    with pytest.raises(TaskException) as raised:
        result.get()
    assert raised.value.metadata["code"] == 17


@pytest.mark.parametrize("place", PLACES)
def test_both_methods_may_be_overridden(any_kind, make_huey, place):
    """A ``put_result`` of the user's gets the error only when there is one to store."""
    huey = make_huey(any_kind)
    put, stored = huey.put_result, []
    huey.put_result = lambda key, data: stored.append((key, data)) or put(key, data)
    kit, _ = observed(huey, place, {"error": "mine", "code": 17})
    verdicts = iter([DROP, expire(60), KEEP])
    kit.on("locked")(lambda event: next(verdicts))
    guarded = declare(huey)
    ids = [guarded().id for _ in range(3)]
    run_all(huey)
    assert [key for key, _ in stored] == ids[1:]
    assert [data.metadata["code"] for _, data in stored] == [17, 17]
    assert ["expires" in data.metadata for _, data in stored] == [True, False]


@pytest.mark.parametrize("place", PLACES)
def test_the_methods_are_left_as_they_were_found(make_huey, place):
    """A wrapper that was put there after the kit stays, and only passes on."""
    huey = make_huey("memory")
    kit, calls = observed(huey, place, {"error": "mine"}, DROP)
    found = huey.build_error_result
    guarded = declare(huey)
    uninstall_handlers(huey)
    assert (huey.build_error_result is found) is (place is around_the_kit)
    result = guarded()
    run_all(huey)
    assert not kit.installed
    assert len(calls) == BUILDS
    assert stored_errors(huey)[result.id]["error"] == "mine"
