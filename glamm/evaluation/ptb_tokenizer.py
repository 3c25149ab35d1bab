"""The Penn Treebank tokenizer of the COCO caption evaluation, a Java program that pycocoevalcap contains."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from glamm.errors import HostError
from glamm.evaluation.java_runtime import (
    JAVA_OPTIONS,
    java_environment,
    last_line,
    plain_path,
    pycocoevalcap_folder,
)
from glamm.evaluation.metrics.captions import TokenizedCaptions
from glamm.files import scratch_folder
from glamm.subprocesses import run_supervised

_JAR = "stanford-corenlp-3.4.1.jar"
_START_S = 60.0
_SECONDS_A_CAPTION = 0.1

# Punctuation, which the COCO caption evaluation removes.
_REMOVED_TOKENS = frozenset(
    "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split(),
)


class _RefusedError(Exception):
    """The tokenizer failed, or its lines do not belong to the captions."""


def tokenize(
    java: Path, *, references: Sequence[Sequence[str]], candidates: Sequence[str]
) -> TokenizedCaptions:
    """Split captions into tokens as the Penn Treebank does, lower-cased and without punctuation.

    A caption at which the tokenizer fails counts as empty; it is found by halving.

    Args:
        java: A program that `find_java` found.
        references: One or more captions for each image.
        candidates: One caption for each image.

    Raises:
        HostError: The tokenizer cannot be run.
    """
    all_references = [text for of_image in references for text in of_image]
    tokenized = iter(_tokenize(java, all_references))
    by_image = [[next(tokenized) for _ in of_image] for of_image in references]
    answers = _tokenize(java, candidates)
    return TokenizedCaptions(
        references=tuple(tuple(text or "" for text in of_image) for of_image in by_image),
        candidates=tuple(text or "" for text in answers),
        failures={
            index: "the tokenizer fails at it"
            for index, (answer, of_image) in enumerate(zip(answers, by_image, strict=True))
            if answer is None or None in of_image
        },
    )


def _tokenize(java: Path, captions: Sequence[str]) -> list[str | None]:
    """The tokens of each caption, separated by spaces; None where the tokenizer fails."""
    try:
        return [*_run(java, captions)]
    except _RefusedError as error:
        try:
            _run(java, ["a caption"])
        except _RefusedError:
            raise HostError(f"the caption tokenizer {error}") from error
    return _halve(java, captions)


def _halve(java: Path, captions: Sequence[str]) -> list[str | None]:
    if len(captions) == 1:
        return [None]
    middle = len(captions) // 2
    tokens: list[str | None] = []
    for half in (captions[:middle], captions[middle:]):
        try:
            tokens += _run(java, half)
        except _RefusedError:
            tokens += _halve(java, half)
    return tokens


def _run(java: Path, captions: Sequence[str]) -> list[str]:
    with (
        scratch_folder("glamm-captions-") as folder,
        plain_path(pycocoevalcap_folder("tokenizer")) as programs,
    ):
        file = folder / "captions.txt"
        lines = "\n".join(caption.replace("\n", " ") for caption in captions)
        file.write_bytes(lines.encode("utf-8", "replace"))
        command = [
            *(str(java), *JAVA_OPTIONS, "-cp", str(programs / _JAR)),
            *("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", str(file)),
        ]
        try:
            done = run_supervised(
                command,
                env=java_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout_s=_START_S + _SECONDS_A_CAPTION * len(captions),
            )
        except OSError as error:
            raise HostError(f"the caption tokenizer cannot be run: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise _RefusedError(f"took longer than {error.timeout:.0f} s.") from error
    if done.returncode:
        raise _RefusedError(f"failed. {last_line(done.stderr)}")
    output = done.stdout.decode("utf-8", "replace").split("\n")
    if len(output) < len(captions) or any(output[len(captions) :]):
        raise _RefusedError(f"returned {len(output)} lines for {len(captions)} captions.")
    return [
        " ".join(token for token in line.rstrip().split(" ") if token not in _REMOVED_TOKENS)
        for line in output[: len(captions)]
    ]
