"""The command line `prefect deployment run train-glamm`, before Prefect parses it."""

import socket

import pytest

from flows.prefect_plugin import expand_aliases, missing_server


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "/bin/prefect deployment run train-glamm",
            "/bin/prefect deployment run train-glamm/default",
        ),
        (
            "prefect deployment inspect train-glamm",
            "prefect deployment inspect train-glamm/default",
        ),
        (
            "prefect deployment run --watch -p stages=[] train-glamm",
            "prefect deployment run --watch -p stages=[] train-glamm/default",
        ),
        (
            "/x/prefect/__main__.py deployment run train-glamm --watch",
            "/x/prefect/__main__.py deployment run train-glamm/default --watch",
        ),
    ],
    ids=["run", "inspect", "options-first", "python-m"],
)
def test_plugin_expands_the_bare_name_of_the_flow(command: str, expected: str):
    assert expand_aliases(command.split()) == expected.split()


@pytest.mark.parametrize(
    "command",
    [
        "prefect deployment run train-glamm/default",
        "prefect deployment run other",
        "prefect flow-run cancel train-glamm",
        "prefect deployment ls",
        "pytest deployment run train-glamm",
        "prefect",
    ],
    ids=["full-name", "other-flow", "other-command", "no-name", "other-program", "alone"],
)
def test_plugin_leaves_other_arguments_unchanged(command: str):
    assert expand_aliases(command.split()) == command.split()


def test_plugin_explains_how_to_start_the_missing_server():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: no other program can answer there
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api"

        message = missing_server(["prefect", "deployment", "run", "train-glamm/default"], url)

    assert message == f"error: no Prefect server answers at {url}. Start it with: make up"


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("prefect server start", "http://127.0.0.1:1/api"),
        ("prefect deployment run x", "https://prefect.example.org/api"),
        ("prefect deployment run x", None),
    ],
    ids=["other-command", "other-machine", "no-address"],
)
def test_plugin_ignores_other_commands_and_other_machines(command: str, url: str | None):
    assert missing_server(command.split(), url) is None
