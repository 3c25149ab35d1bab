"""The literal words `prefect deployment run train-glamm`, before Prefect parses them."""

import pytest

from flows.prefect_plugin import expand_aliases


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
