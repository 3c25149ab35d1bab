"""The tokenizer may fail at single captions; here a program with its interface does so on request."""

import sys

import pytest

from glamm.errors import HostError
from glamm.evaluation.java_runtime import find_java
from glamm.evaluation.ptb_tokenizer import tokenize

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FAKE = """#!{python}
import pathlib, sys
lines = pathlib.Path(sys.argv[-1]).read_text().split("\\n")
if "ends" in lines or {always_fails}:
    sys.exit("OutOfMemoryError")
for line in lines:
    print(line)
    if line == "two lines":
        print("more")
"""


@pytest.fixture
def make_java(tmp_path):
    def make(*, always_fails=False):
        program = tmp_path / "java"
        program.write_text(FAKE.format(python=sys.executable, always_fails=always_fails))
        program.chmod(0o755)
        return program

    return make


@pytest.mark.parametrize("text", ["ends", "two lines"])
def test_caption_that_the_tokenizer_does_not_take_counts_as_empty(make_java, text):
    captions = tokenize(
        make_java(),
        references=[["a"], ["b", text], ["c"], ["d"]],
        candidates=["a ball", "b", "c", text],
    )

    assert captions.candidates == ("a ball", "b", "c", "")
    assert captions.references == (("a",), ("b", ""), ("c",), ("d",))
    assert sorted(captions.failures) == [1, 3]


def test_tokenizer_that_always_fails_is_an_error(make_java):
    with pytest.raises(HostError, match=r"caption tokenizer failed\. .*OutOfMemoryError"):
        tokenize(make_java(always_fails=True), references=[["a"]], candidates=["b"])


def test_line_separator_costs_its_caption_only():
    captions = tokenize(
        find_java(), references=[["A dog."], ["A cat"]], candidates=["a\rdog", "The \ud800 cat!"]
    )

    assert captions.candidates == ("", "the cat")
    assert captions.references == (("a dog",), ("a cat",))
    assert list(captions.failures) == [0]
