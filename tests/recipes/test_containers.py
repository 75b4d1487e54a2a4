"""The pages ``recipes/kubernetes.md`` and ``recipes/compose.md``: their files and commands.

The manifests were also read by the types of the package kubernetes 37, and the Compose file by the
JSON schema of the Compose specification. There is no cluster and no Docker here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

pytest.importorskip("typer", exc_type=ImportError)

import yaml
from huey.consumer_options import ConsumerConfig, OptionParserHandler

from tests.recipes.commands import commands_in, parse
from tests.recipes.pages import RECIPES, blocks_of
from tests.servers import free_port
from tests.support import tail, wait_until

FILES = {
    (page, block.file): block.text
    for page in ("kubernetes.md", "compose.md")
    for block in blocks_of(page)
    if block.file
}
MANIFESTS = [
    manifest
    for file in ("huey.yaml", "export.yaml")
    for manifest in yaml.safe_load_all(FILES["kubernetes.md", file])
]
DEPLOYMENTS = {
    each["metadata"]["name"]: each["spec"] for each in MANIFESTS if "template" in each["spec"]
}
SERVICES = yaml.safe_load(FILES["compose.md", "compose.yaml"])["services"]


def container(name):
    """The only container of a Deployment."""
    (only,) = DEPLOYMENTS[name]["template"]["spec"]["containers"]
    return only


def commands():
    """Every command in the files and in the text of both pages."""
    for name in DEPLOYMENTS:
        yield container(name)["command"]
        yield container(name)["livenessProbe"].get("exec", {}).get("command")
    for service in SERVICES.values():
        yield service.get("command")
        yield service.get("healthcheck", {}).get("test", [""])[1:]
    for page in ("kubernetes.md", "compose.md"):
        yield from (["huey-signals", *words] for words in commands_in((RECIPES / page).read_text()))


HERE = sorted({tuple(command) for command in commands() if command and "huey" in command[0]})


def consumer_options(words):
    """The options of a command `huey_consumer`, as Huey reads them."""
    parser = OptionParserHandler().get_option_parser()
    options, (name,) = parser.parse_args(list(words))
    assert name == "tasks.huey"
    return options


@pytest.mark.parametrize("command", HERE, ids=" ".join)
def test_each_command_exists(command):
    """With these options."""
    if command[0] == "huey_consumer":
        if any(word.startswith("--graceful-signal") for word in command):
            require_graceful_signal()
        options = consumer_options(command[1:])
        given = {name: value for name, value in vars(options).items() if value is not None}
        ConsumerConfig(**given).validate()
    else:
        assert command[0] == "huey-signals"
        parse(command[1:])


def require_graceful_signal():
    """Skip a test if Huey is older than 3.4."""
    if "graceful_signal" not in ConsumerConfig().values:
        pytest.skip("the manifests are for Huey 3.4")


def test_each_selector_finds_its_pods():
    """Of the Deployments and of the Service, whose port is that of the container."""
    for spec in DEPLOYMENTS.values():
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    (service,) = (each["spec"] for each in MANIFESTS if each["kind"] == "Service")
    export = DEPLOYMENTS["huey-export"]
    assert service["selector"] == export["template"]["metadata"]["labels"]
    (port,) = container("huey-export")["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert (service["ports"][0]["port"], port["containerPort"]) == (9808, 9808)
    assert container("huey-export")["livenessProbe"]["httpGet"]["port"] == port["name"]


def test_one_consumer_enqueues_periodic_tasks():
    """And there is one export; neither runs twice while it is replaced."""
    has_periodic = [
        name
        for name in DEPLOYMENTS
        if container(name)["command"][0] == "huey_consumer"
        and "--no-periodic" not in container(name)["command"]
    ]
    assert has_periodic == ["huey-periodic"]
    for name in ("huey-periodic", "huey-export"):
        assert (DEPLOYMENTS[name]["replicas"], DEPLOYMENTS[name]["strategy"]) == (
            1,
            {"type": "Recreate"},
        )


def test_a_consumer_ends_before_it_is_killed():
    """Its own timeout is shorter than that of Kubernetes."""
    require_graceful_signal()
    for name in ("huey", "huey-periodic"):
        options = consumer_options(container(name)["command"][1:])
        grace = DEPLOYMENTS[name]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert options.graceful_signal == "TERM"
        assert options.shutdown_timeout <= grace - 30


@contextmanager
def started(command, folder, **environment):
    """Run a command of a page during the block."""
    log = folder / f"{command[0]}-{len(command)}.log"
    path = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    with log.open("wb") as output:
        process = subprocess.Popen(
            path, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process, log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.storage("redis")
@pytest.mark.parametrize("page", ["kubernetes.md", "compose.md"])
def test_the_commands_work_together(page, tmp_path, redis_url):
    """Consumers and export start, the probes are content, and a stop lets a task end."""
    pytest.importorskip("prometheus_client")
    if page == "kubernetes.md":
        require_graceful_signal()
        consumers = [container(name)["command"] for name in ("huey", "huey-periodic")]
        probe = container("huey")["livenessProbe"]["exec"]["command"]
        export, stop = container("huey-export")["command"], signal.SIGTERM
    else:
        consumers = [SERVICES["consumer"]["command"]]
        probe = SERVICES["consumer"]["healthcheck"]["test"][1:]
        export = SERVICES["export"]["command"]
        stop = signal.Signals[SERVICES["consumer"]["stop_signal"]]
    (tmp_path / "tasks.py").write_text(FILES[page, "tasks.py"].replace('"shop"', f'"{page}"'))
    port = free_port()
    common = {"REDIS_URL": redis_url, "PATH": "/usr/bin:/bin"}
    with ExitStack() as stack:
        pods = []
        for number, command in enumerate(consumers):
            own = {**common, "HUEY_SIGNALS_RUN_DIR": str(tmp_path / f"run{number}")}
            pods.append((*stack.enter_context(started(command, tmp_path, **own)), own))
        export = [*export, f"--port={port}"]
        stack.enter_context(started(export, tmp_path, **common))
        for _, log, own in pods:
            wait_until(lambda log=log: "+ tasks." in log.read_text(), 60, "the consumer", log)
            wait_until(lambda own=own: run(probe, tmp_path, own) == 0, 30, "the probe", log)
        up = f'huey_up{{queue="{page}"}} 1.0'
        wait_until(lambda: up in scrape(port), 60, "export")
        one = f'huey_periodic_schedulers{{queue="{page}"}} 1.0'
        if len(consumers) > 1:
            wait_until(lambda: one in scrape(port), 30, "one scheduler of periodic tasks")
        enqueue = "from tasks import import_orders; import_orders(3)"
        run(["python", "-c", enqueue], tmp_path, common)

        def logs():
            return "".join(log.read_text() for _, log, _ in pods)

        wait_until(lambda: "Executing tasks.import_orders" in logs(), 30, "the task")
        for process, log, _ in pods:
            process.send_signal(stop)
            assert process.wait(60) == 0, tail(log)
        assert logs().count("executed in 3.") == 1


def run(command, folder, environment):
    """The exit code of a command."""
    path = [str(Path(sys.executable).parent / command[0]), *command[1:]]
    return subprocess.run(path, cwd=folder, env=environment, capture_output=True).returncode


def scrape(port):
    """What export serves; nothing if it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return ""
