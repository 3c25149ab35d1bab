"""METEOR's process may end, hang or answer nonsense; here a program that speaks its protocol does so on request."""

import sys
from pathlib import Path

import pytest

from glamm.errors import HostError
from glamm.evaluation import meteor
from glamm.evaluation.meteor import Meteor
from glamm.evaluation.metrics.captions import TokenizedCaptions

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FAKE = """#!{python}
import pathlib, sys, time
folder = pathlib.Path({folder!r})
count = len(list(folder.glob("start-*")))
(folder / f"start-{{count}}").touch()
if {always_fails}:
    sys.exit("no heap")
for line in sys.stdin:
    kind, *parts = line.strip("\\n").split(" ||| ")
    if kind == "EVAL":
        if {fails_at_set} and count < {fails_at_set}:
            sys.exit("killed")
        for part in [*parts, "1 1"]:
            print(float(part.split()[0]) / 10, flush=True)
        continue
    candidate = parts[-1]
    if candidate == "ends" or candidate == "ends once" and count == 0:
        sys.exit("OutOfMemoryError")
    if candidate == "hangs":
        time.sleep(600)
    answers = {{"words": "Error: specify", "nan": "1 NaN", "nothing": ""}}
    print(answers.get(candidate, f"{{len(candidate.split())}} 1"), flush=True)
"""


@pytest.fixture
def start(tmp_path):
    """A METEOR that is a small program; keyword arguments say when it fails."""

    def make(*, always_fails=False, fails_at_set=0):
        program = tmp_path / "java"
        program.write_text(
            FAKE.format(
                python=sys.executable,
                folder=str(tmp_path),
                always_fails=always_fails,
                fails_at_set=fails_at_set,
            )
        )
        program.chmod(0o755)
        return Meteor(program)

    return make


def starts(folder: Path) -> int:
    return len(list(folder.glob("start-*")))


def captions(*candidates):
    return TokenizedCaptions(
        references=(("a ball",),) * len(candidates), candidates=candidates, failures={}
    )


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ("ends", "METEOR ended"),
        ("words", "METEOR answered 'Error: specify' where numbers were expected"),
        ("nan", "METEOR answered '1 NaN' where numbers were expected"),
        ("nothing", "METEOR answered '' where numbers were expected"),
    ],
    ids=["ends", "words", "not-a-number", "empty-line"],
)
def test_caption_that_meteor_does_not_take_counts_as_empty(start, candidate, reason):
    with start() as process:
        scores = process.score(captions("a red ball", candidate, "two dogs"))

    assert scores.per_image == (0.3, 0.0, 0.2)
    assert scores.failures == {1: reason}


def test_caption_at_which_meteor_hangs_counts_as_empty(start, monkeypatch):
    monkeypatch.setattr(meteor, "_ANSWER_TIMEOUT_S", 3.0)

    with start() as process:
        scores = process.score(captions("a ball", "hangs"))

    assert scores.per_image == (0.2, 0.0)
    assert "did not answer within 3 s" in scores.failures[1]


@pytest.mark.parametrize("fails_at_set", [0, 1], ids=["at-a-caption", "at-the-set"])
def test_process_that_the_machine_ended_is_started_once_more(start, tmp_path, fails_at_set):
    with start(fails_at_set=fails_at_set) as process:
        scores = process.score(captions("a ball", "a dog" if fails_at_set else "ends once"))

    assert scores.per_image == (0.2, 0.2)
    assert scores.failures == {}
    assert starts(tmp_path) == 2


@pytest.mark.parametrize(
    ("always_fails", "fails_at_set"), [(True, 0), (False, 9)], ids=["always", "at-the-set"]
)
def test_meteor_that_never_answers_is_an_error(start, always_fails, fails_at_set):
    meteor_ = start(always_fails=always_fails, fails_at_set=fails_at_set)

    with meteor_ as process, pytest.raises(HostError, match=r"METEOR .* ended\. Its last line"):
        process.score(captions("a ball"))
