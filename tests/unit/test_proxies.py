"""A lazy proxy that stands for a Huey is as good as the Huey itself."""

from __future__ import annotations

import sys
from types import ModuleType
from unittest.mock import Mock

import pytest
from huey import MemoryHuey, SqliteHuey
from huey.exceptions import TaskLockedException

from huey_signals_kit import get_kit, install_handlers, uninstall_handlers
from huey_signals_kit.cli._shared.find_huey import find_huey
from huey_signals_kit.upkeep import (
    explain,
    forget,
    forget_record,
    purge_errors,
    release_lock,
    release_stale,
    report,
    sweep_tokens,
)


class Forwarding:
    """As werkzeug's ``LocalProxy``: all that is set on it is set on what it stands for."""

    def __init__(self, make):
        object.__setattr__(self, "_make", make)

    @property
    def __class__(self):
        return self._make().__class__

    def __getattr__(self, name):
        return getattr(self._make(), name)

    def __setattr__(self, name, value):
        setattr(self._make(), name, value)

    def __delattr__(self, name):
        delattr(self._make(), name)


class Keeping(Forwarding):
    """One that keeps what is set on it to itself."""

    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


def of_django(make):
    functional = pytest.importorskip("django.utils.functional")
    return functional.SimpleLazyObject(make)


def of_werkzeug(make):
    return pytest.importorskip("werkzeug.local").LocalProxy(make)


def of_wrapt(make):
    return pytest.importorskip("wrapt").ObjectProxy(make())


@pytest.fixture(params=[Forwarding, Keeping, of_django, of_werkzeug, of_wrapt])
def pair(request, make_huey):
    """A Huey, and a proxy for it."""
    huey = make_huey("sqlite")
    return huey, request.param(lambda: huey)


def test_a_kit_on_a_proxy_is_the_kit_of_the_huey(pair):
    """It is found through both, the same again by either, and gone through either."""
    huey, proxy = pair
    kit = install_handlers(proxy)
    assert kit.huey is huey
    assert kit.installed
    assert get_kit(huey) is get_kit(proxy) is kit
    assert install_handlers(huey) is install_handlers(proxy) is kit
    assert install_handlers(proxy, "observe", replace=True) is get_kit(huey) is not kit
    uninstall_handlers(proxy)
    assert get_kit(huey) is get_kit(proxy) is None


def test_locks_and_skips_are_as_on_the_huey(pair):
    """A lock names its holder, and a skip stores nothing."""
    huey, proxy = pair
    kit = install_handlers(proxy)

    @proxy.task()
    @proxy.lock_task("held")
    def work():
        return 1

    with proxy.lock_task("held"):
        work()
        proxy.execute(proxy.dequeue())
        assert [(each.name, each.alive) for each in kit.locks()] == [("held", True)]
        with pytest.raises(TaskLockedException):
            huey.lock_task("held").__enter__()
    assert kit.count("huey_lock_skips_total") == 1
    assert huey.result_count() == 0


def test_upkeep_takes_a_proxy(pair):
    """By function, with or without a kit."""
    _, proxy = pair
    assert report(proxy).queue_length == 0
    assert sweep_tokens(proxy, dry_run=True).scanned == 0
    assert purge_errors(proxy, dry_run=True).deleted == 0
    assert release_stale(proxy, dry_run=True).released == []
    assert release_lock(proxy, "free") is None
    assert forget(proxy).keys == 0
    assert forget_record(proxy, "nothing") is False
    assert explain(proxy, "nothing", patience=0)


def test_the_command_line_finds_the_huey_behind_a_proxy(pair, monkeypatch):
    """By the name of the proxy in its module."""
    huey, proxy = pair
    module = ModuleType("app_with_a_proxy")
    module.huey = proxy
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert find_huey("app_with_a_proxy.huey") is huey


def test_what_only_passes_for_a_huey_is_refused(tmp_path):
    """A mock shows no Huey, and neither does the proxy of something else."""
    with pytest.raises(TypeError, match="a proxy whose Huey cannot be found"):
        install_handlers(Mock(spec=MemoryHuey("x")))
    with pytest.raises(TypeError, match="takes a Huey"):
        install_handlers(Forwarding(lambda: "text"))
    huey = SqliteHuey("x", filename=str(tmp_path / "db"))
    assert get_kit(Forwarding(lambda: Keeping(lambda: huey))) is None
    huey.storage.close()
