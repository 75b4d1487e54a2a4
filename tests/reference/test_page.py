"""The reference page says what the docstrings and the commands say, and leaves nothing out."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)
pytest.importorskip("jinja2")
pytest.importorskip("django")
pytest.importorskip("prometheus_client")
pytest.importorskip("opentelemetry.instrumentation")

from huey_signals_kit import _PUBLIC_MODULES, install_handlers
from tests.reference.page import MODULES, PAGE, commands, public_names, render, settings


@pytest.fixture(scope="module")
def sections():
    """The text of each heading of the page, by the headings above it."""
    found, path = {}, []
    for part in re.split(r"^(?=#{1,4} )", PAGE.read_text(), flags=re.MULTILINE):
        heading, _, text = part.partition("\n")
        marks, _, title = heading.partition(" ")
        path = [*path[: max(len(marks) - 1, 0)], title]
        found[tuple(path[1:])] = text
    return found


def test_the_page_is_up_to_date():
    """After a change of a docstring or an option: ``python -m tests.reference``."""
    assert PAGE.read_text() == render()


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_text(sections, name):
    """Each name of each public module, with more below it than its signature."""
    module = f"huey_signals_kit.{name}".rstrip(".")
    names = public_names(name)
    assert names
    for each in names:
        assert re.sub(r"```.*?```", "", sections[module, each], flags=re.DOTALL).strip(), each


def test_no_public_module_is_left_out():
    """Those that can be imported from the package by name, and those that need an extra."""
    with_extras = {
        "contrib.django",
        "integrations.opentelemetry",
        "sinks.opentelemetry",
        "sinks.prometheus",
        "testing",
        "testing.pytest_plugin",
        "web",
    }
    assert set(MODULES) - {""} == {*_PUBLIC_MODULES, *with_extras}


def test_every_option_of_every_command_has_a_text(sections):
    """In the order of ``--help``; and there are as many commands as the page has."""
    listed = dict(commands())
    assert [path[1] for path in sections if path[:1] == ("Commands",) and len(path) == 2] == [
        *listed
    ]
    for name, command in listed.items():
        text = sections["Commands", name]
        for option in (opt for parameter in command.params for opt in parameter.opts):
            if option.startswith("-"):
                assert re.search(rf"^- `[^`]*{option}[^`]*`: \w", text, re.MULTILINE), (
                    name,
                    option,
                )


def test_every_setting_has_a_text(sections):
    """The arguments of `install_handlers`, with which Django's setting is filled."""
    options = set(install_handlers.__annotations__) - {"huey", "unknown", "return"}
    assert set(settings()) == options
    for name in options:
        assert f"- `{name}`: " in sections["Django settings",]
