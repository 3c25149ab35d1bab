"""The Penn Treebank tokenizer of the COCO caption evaluation, a Java program that pycocoevalcap contains."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from glamm.errors import DataError, HostError
from glamm.evaluation.java_runtime import SERIAL_COLLECTOR, last_line, pycocoevalcap_folder
from glamm.evaluation.metrics.captions import TokenizedCaptions
from glamm.files import scratch_folder
from glamm.subprocesses import run_supervised

_JAR = "stanford-corenlp-3.4.1.jar"
_TIMEOUT_S = 600.0

# Punctuation, which the COCO caption evaluation removes.
_REMOVED_TOKENS = frozenset(
    "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split(),
)


def tokenize(
    java: Path, *, references: Sequence[Sequence[str]], candidates: Sequence[str]
) -> TokenizedCaptions:
    """Split captions into tokens as the Penn Treebank does, lower-cased and without punctuation.

    Args:
        java: A program that `find_java` found.
        references: One or more captions for each image.
        candidates: One caption for each image.

    Raises:
        HostError: The tokenizer cannot be run.
        DataError: A caption holds a character that the tokenizer takes for the end of a line.
    """
    all_references = [text for of_image in references for text in of_image]
    tokenized = iter(_tokenize_lines(java, all_references))
    return TokenizedCaptions(
        references=tuple(tuple(next(tokenized) for _ in of_image) for of_image in references),
        candidates=tuple(_tokenize_lines(java, candidates)),
    )


def _tokenize_lines(java: Path, lines: Sequence[str]) -> list[str]:
    with scratch_folder("glamm-captions-") as folder:
        file = folder / "captions.txt"
        file.write_text("\n".join(line.replace("\n", " ") for line in lines), encoding="utf-8")
        jar = pycocoevalcap_folder("tokenizer") / _JAR
        command = [
            *(str(java), SERIAL_COLLECTOR, "-cp", str(jar)),
            *("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", str(file)),
        ]
        try:
            done = run_supervised(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout_s=_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostError(f"the caption tokenizer cannot be run: {error}") from error
    if done.returncode:
        raise HostError(f"the caption tokenizer failed. {last_line(done.stderr)}")
    output = done.stdout.decode("utf-8").split("\n")
    if len(output) < len(lines) or any(output[len(lines) :]):
        raise DataError(
            f"the tokenizer returned {len(output)} lines for {len(lines)} captions: a caption holds a line separator"
        )
    return [
        " ".join(token for token in line.rstrip().split(" ") if token not in _REMOVED_TOKENS)
        for line in output[: len(lines)]
    ]
