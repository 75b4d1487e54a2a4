"""PrometheusSink in one process: what a scrape shows, and of which kits."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from importlib.metadata import version

import pytest
from huey.signals import SIGNAL_COMPLETE, SIGNAL_LOCKED

from huey_signals_kit import get_kit, install_handlers
from huey_signals_kit._checks import name_of
from huey_signals_kit.huey_internals.django_tasks import BACKEND
from huey_signals_kit.signals import lock_skipped
from tests.support import hold, run_all

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, Counter, make_wsgi_app

from huey_signals_kit.metrics.names import LABELS
from huey_signals_kit.sinks.prometheus import PrometheusSink
from tests.sinks.scraping import Scrape, scrape

NAMES = [
    "ordinary",
    'quoted "name"',
    "back\\slash",
    "back\\nslash",
    "two\nlines\r\n",
    "größe 数 🙂",
    "lone \udc80 surrogate",
    "nul \0 byte",
    '{a="b"} # 1',
    "x" * 10_000,
    "",
]


@pytest.fixture
def registry():
    """A registry of the user's."""
    return CollectorRegistry(auto_describe=True)


def test_a_scrape_shows_what_the_kit_counts(make_huey, registry, work):
    """Every counter, with the labels of the vocabulary."""
    huey = make_huey()
    kit = install_handlers(huey, sinks=PrometheusSink(registry))
    work(huey, done=3, skipped=2, failed=1)
    shown = scrape(registry)
    assert shown.outcomes() == (3, 2, 1, 4)
    for metric in LABELS.keys() - {"huey_task_duration_seconds"}:
        assert shown.total(metric) == kit.count(metric)
    task = {"queue": huey.name, "task": "tests.consumer.app.guarded"}
    assert shown.total("huey_lock_skips_total", lock="held", **task) == 2


def test_the_histogram_is_one_of_prometheus(make_huey, registry, work):
    """Buckets add up to the last one, which has all, as the count does."""
    huey = make_huey()
    install_handlers(huey, sinks=PrometheusSink(registry))
    work(huey, done=5, skipped=1, failed=0)
    shown = scrape(registry)
    buckets = [
        (float(labels["le"]), value)
        for name, labels, value in shown.samples
        if name == "huey_task_duration_seconds_bucket"
    ]
    assert buckets == sorted(buckets)
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    assert buckets[-1] == (float("inf"), 5)
    assert shown.total("huey_task_duration_seconds_count") == 5
    assert 0 < shown.total("huey_task_duration_seconds_sum") < 5


@pytest.mark.parametrize("one_sink", [True, False], ids=["one sink", "two sinks"])
def test_several_hueys_have_one_family_per_metric(make_huey, registry, work, one_sink):
    """They share a registry, and may share the sink."""
    first, second = make_huey(), make_huey()
    sink = PrometheusSink(registry)
    install_handlers(first, sinks=sink)
    install_handlers(second, sinks=sink if one_sink else PrometheusSink(registry))
    work(first, done=1)
    work(second, done=4)
    shown = scrape(registry)
    names = [family.name for family in shown.families]
    assert len(names) == len(set(names)) == len(LABELS) + 1
    infos = [labels for name, labels, value in shown.samples if name == "huey_signals_info"]
    assert [labels["queue"] for labels in infos] == sorted((first.name, second.name))
    assert {(labels["huey_version"], labels["storage"]) for labels in infos} == {
        (version("huey"), "MemoryStorage")
    }
    complete = {"signal": SIGNAL_COMPLETE}
    assert shown.total("huey_signals_total", queue=first.name, **complete) == 1
    assert shown.total("huey_signals_total", queue=second.name, **complete) == 4


def test_two_hueys_of_one_name_are_summed(make_huey, registry, work):
    """A series must not come twice, or the whole scrape is refused."""
    for _ in range(2):
        huey = make_huey(name="same")
        install_handlers(huey, sinks=PrometheusSink(registry))
        work(huey, done=2)
    series = [(name, tuple(labels.items())) for name, labels, _ in scrape(registry).samples]
    assert len(series) == len(set(series))
    assert scrape(registry).total("huey_signals_total", signal=SIGNAL_COMPLETE) == 4


def test_the_last_to_be_uninstalled_leaves_the_registry_as_it_was(make_huey, registry, work):
    """What the other one counted stays until then: a counter never goes back."""
    first, second = make_huey(), make_huey()
    kits = [install_handlers(each, sinks=PrometheusSink(registry)) for each in (first, second)]
    work(first, done=3)
    kits[0].uninstall()
    work(first, done=5)
    work(second, done=1)
    assert scrape(registry).total("huey_signals_total", signal=SIGNAL_COMPLETE) == 4
    kits[1].uninstall()
    assert scrape(registry).families == []


def test_installed_again_the_counters_go_on(make_huey, registry, work):
    """To Prometheus, which knows nothing of kits, it is the same process."""
    huey = make_huey()
    for _ in range(2):
        with install_handlers(huey, sinks=PrometheusSink(registry)) as kit:
            work(huey, done=3)
            assert kit.count("huey_signals_total", signal=SIGNAL_COMPLETE) == 3
    with install_handlers(huey, sinks=PrometheusSink(registry)):
        assert scrape(registry).total("huey_signals_total", signal=SIGNAL_COMPLETE) == 6


def test_by_name_it_is_the_default_registry(make_huey, work):
    """``sinks="prometheus"`` needs nothing else."""
    from prometheus_client import REGISTRY

    huey = make_huey()
    with install_handlers(huey, sinks="prometheus"):
        work(huey, done=2)
        complete = {"queue": huey.name, "signal": SIGNAL_COMPLETE}
        assert scrape(REGISTRY).total("huey_signals_total", **complete) == 2
    assert scrape(REGISTRY).total("huey_signals_total", queue=huey.name) == 0


def test_a_scrape_can_be_parsed_whatever_the_names(make_huey, registry, caplog):
    """Names of queues, tasks and locks, through the WSGI app, as a Prometheus gets it."""
    caplog.set_level(logging.CRITICAL)  # Huey logs the names as well, and no report can hold these
    for name in ('größe "q" \\ \n', "x" * 10_000):
        huey = make_huey(name=name)
        install_handlers(huey, sinks=PrometheusSink(registry))
        for lock in (*NAMES, b"by\xfftes"):
            hold(huey, lock)
            # The name of a class has neither of these.
            name = f"t{lock!s}".replace("\0", "").replace("\udc80", "")
            huey.task(name=name)(huey.lock_task(lock)(lambda: None))()
        run_all(huey)
    answer = make_wsgi_app(registry)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)
    shown = Scrape(b"".join(answer).decode())
    assert shown.total("huey_lock_skips_total") == 2 * (len(NAMES) + 1)
    assert shown.total("huey_signals_total", signal=SIGNAL_LOCKED) == 2 * (len(NAMES) + 1)
    longest = max(len(text) for _, labels, _ in shown.samples for text in labels.values())
    assert longest == 200


def test_names_that_become_the_same_text_are_one_series(make_huey, registry):
    """Two that differ only in what cannot be written are summed."""
    huey = make_huey()
    install_handlers(huey, sinks=PrometheusSink(registry))
    for name in ("a\nb", "a\tb", "a b"):
        hold(huey, name)

    @huey.task()
    def guarded(name):
        with huey.lock_task(name):
            """Never runs."""

    for name in ("a\nb", "a\tb", "a b"):
        guarded(name)
    run_all(huey)
    skips = [each for each in scrape(registry).samples if each[0] == "huey_lock_skips_total"]
    assert [(labels["lock"], value) for _, labels, value in skips] == [("a b", 3)]


def test_a_metric_of_the_same_name_is_refused_when_installing(make_huey, registry):
    """Nothing stays half installed."""
    Counter("huey_signals", "The application's own.", registry=registry)
    huey = make_huey()
    with pytest.raises(ValueError, match="huey_signals"):
        install_handlers(huey, sinks=PrometheusSink(registry))
    assert get_kit(huey) is None


@pytest.mark.parametrize("given", ["prometheus", CollectorRegistry, object()])
def test_what_is_no_registry_is_refused(given):
    """With its value."""
    with pytest.raises(TypeError, match=r"registry= .* takes a prometheus_client.CollectorReg"):
        PrometheusSink(given)


@pytest.mark.parametrize("given", [17, b"/tmp", ["/tmp"]])
def test_what_is_no_path_is_refused(given):
    """With its value."""
    with pytest.raises(TypeError, match=r"directory= .* takes the path of a folder, got"):
        PrometheusSink(directory=given)


@pytest.mark.parametrize("name", ["a file", "a file/below", "nul\0", ""])
def test_what_can_be_no_folder_is_refused(tmp_path, name):
    """Before any count is lost."""
    (tmp_path / "a file").write_text("")
    with pytest.raises(ValueError, match=r"directory= .* that all processes can write, got"):
        PrometheusSink(directory=str(tmp_path / name) if name else "")


def test_a_bad_folder_of_the_environment_is_refused(tmp_path, monkeypatch):
    """By the variable's name."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="environment variable PROMETHEUS_MULTIPROC_DIR"):
        PrometheusSink()


def test_a_registry_that_is_gone_keeps_no_collector():
    """The kit's table of registries keeps none alive."""
    script = """
        import gc, weakref
        from huey import MemoryHuey
        from prometheus_client import CollectorRegistry
        from huey_signals_kit import install_handlers
        from huey_signals_kit.sinks.prometheus import PrometheusSink, _collectors

        registry = CollectorRegistry()
        install_handlers(MemoryHuey("x"), sinks=PrometheusSink(registry)).uninstall()
        gone = weakref.ref(registry)
        del registry
        gc.collect()
        print(gone(), len(_collectors))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("None 0\n", "")


def test_what_can_be_known_is_shown_at_zero_before_it_is_counted(make_huey, registry):
    """Of tasks, locks and handlers: `increase()` does not see the first count of a new series."""
    huey = make_huey()
    kit = install_handlers(huey, sinks=PrometheusSink(registry))
    kit.on("complete", name="tell")(lambda event: None)
    kit.on("complete", name="slow", background=True)(lambda event: None)

    @huey.task(name="pay")
    @huey.lock_task("import")
    def pay():
        """Nothing."""

    huey.lock_task("media:1"), huey.lock_task("media:2")
    before = scrape(registry)
    counts = {value for name, _, value in before.samples if name != "huey_signals_info"}
    assert counts == {0}
    with huey.lock_task("import"):
        pay()
        run_all(huey)
    kit.on("locked", name="later")(lambda event: None)
    after = scrape(registry)
    for metric, labels, value in [
        ("huey_signals_total", {"task": f"{__name__}.pay", "signal": "locked"}, 1),
        ("huey_signals_total", {"task": f"{__name__}.pay", "signal": "error"}, 0),
        ("huey_results_suppressed_total", {"task": f"{__name__}.pay", "verdict": "drop"}, 1),
        ("huey_lock_refusals_total", {"lock": "import"}, 1),
        ("huey_lock_refusals_total", {"lock": "media:*"}, 0),
        ("huey_locks_lost_total", {"lock": "import"}, 0),
        ("huey_handler_errors_total", {"handler": "tell"}, 0),
        ("huey_events_dropped_total", {"handler": "slow"}, 0),
        ("huey_tokens_cleaned_total", {"by": "sweep"}, 0),
    ]:
        series = {"queue": huey.name, **labels}
        for shown, expected in ((before, 0), (after, value)):
            assert [v for n, given, v in shown.samples if (n, given) == (metric, series)] == [
                expected
            ], (metric, labels)
    assert not [each for each in before.samples if each[1].get("handler") == "later"]
    assert [v for n, given, v in after.samples if given.get("handler") == "later"] == [0]
    kit.uninstall()


def test_errors_of_sinks_and_subscribers_are_shown_at_zero(make_huey, registry):
    """Under the names that they are counted by."""
    huey = make_huey()

    class Archive:
        name = "the archive"

        def send(self, changes):
            raise OSError("full")

    def subscriber(sender, **_):
        raise ValueError("broken")

    lock_skipped.connect(subscriber, sender=huey)
    with install_handlers(huey, sinks=[PrometheusSink(registry), Archive()]) as kit:
        before = scrape(registry)
        job = huey.task()(huey.lock_task("held")(lambda: None))
        with huey.lock_task("held"):
            job()
            run_all(huey)
        kit.flush()
        after = scrape(registry)
    first, last = (
        {given["handler"]: value for _, given, value in shown.samples if "handler" in given}
        for shown in (before, after)
    )
    for name in ("the_archive", name_of(subscriber)):
        assert (first[name], last[name] > 0) == (0, True), name
    assert ("django_record" in first) is (BACKEND in sys.modules)


def test_series_that_are_shown_at_zero_are_bounded(make_huey, registry):
    """However many tasks and locks there are; reading them counts none."""
    huey = make_huey()
    kit = install_handlers(huey, sinks=PrometheusSink(registry), preset=[])
    for number in range(300):
        huey.task(name=f"task{number}")(lambda: None)
    for number in range(1100):
        huey.lock_task("l" * number)
    shown = scrape(registry)
    tasks = {given["task"] for _, given, _ in shown.samples if "task" in given}
    assert len(tasks) == 200
    assert not [given for _, given, _ in shown.samples if "lock" in given]
    assert len(kit._counter.lock_labels) == 0
    kit.uninstall()
