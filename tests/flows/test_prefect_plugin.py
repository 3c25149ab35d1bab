"""The literal words `prefect deployment run train-glamm`, before Prefect parses them."""

import socket

import pytest

from flows.prefect_plugin import expand_aliases, missing_server


@pytest.mark.parametrize(
    ("words", "expected"),
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
def test_plugin_expands_the_bare_name_of_the_flow(words: str, expected: str):
    assert expand_aliases(words.split()) == expected.split()


@pytest.mark.parametrize(
    "words",
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
def test_plugin_leaves_other_words_alone(words: str):
    assert expand_aliases(words.split()) == words.split()


def test_plugin_tells_how_to_start_a_server_that_is_not_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/api"

        message = missing_server(["prefect", "deployment", "run", "train-glamm/default"], url)

    assert message == f"error: no Prefect server answers at {url}. Start it with: make up"


@pytest.mark.parametrize(
    ("words", "url"),
    [
        ("prefect server start", "http://127.0.0.1:1/api"),
        ("prefect deployment run x", "https://prefect.example.org/api"),
        ("prefect deployment run x", None),
    ],
    ids=["other-command", "other-machine", "no-address"],
)
def test_plugin_says_nothing_about_servers_that_are_not_its_business(words: str, url: str | None):
    assert missing_server(words.split(), url) is None
