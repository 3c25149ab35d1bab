"""The two Java programs behind the caption metrics: the PTB tokenizer and METEOR.

Both are started here and not by pycocoevalcap: it takes whatever `java` is on PATH, writes into its own installation,
and leaves METEOR behind when something fails.
"""

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from glamm.errors import DataError, HostError
from glamm.evaluation.metrics.captions import MeteorScores, TokenisedCaptions

_TOKENIZER_JAR = "stanford-corenlp-3.4.1.jar"
_METEOR_JAR = "meteor-1.5.jar"
_METEOR_MEMORY = "-Xmx2G"
_SERIAL = "-XX:+UseSerialGC"  # half the memory of the default collector, and no slower
_TOKENIZER_SECONDS = 600
_ANSWER_SECONDS = (
    300.0  # METEOR answers the first line after it has read its paraphrases: 8 to 15 s
)
_DROPPED = frozenset(
    "'' ' `` ` -LRB- -RRB- -LCB- -RCB- . ? ! , : - -- ... ;".split()
)  # tokens that are no words, as the caption benchmark of COCO leaves them out


def tokenise(
    java: Path, *, references: Sequence[Sequence[str]], candidates: Sequence[str]
) -> TokenisedCaptions:
    """Split captions into words as the Penn Treebank does, lower-cased and without punctuation.

    Args:
        java: The program.
        references: Of each image, at least one.
        candidates: One an image.

    Raises:
        HostError: The tokenizer cannot be run.
        DataError: A caption holds a character that the tokenizer takes for the end of a line.
    """
    lines = [text for of_image in references for text in of_image]
    words = iter(_tokenise_lines(java, lines))
    split = tuple(tuple(next(words) for _ in of_image) for of_image in references)
    return TokenisedCaptions(split, tuple(_tokenise_lines(java, candidates)))


def _tokenise_lines(java: Path, lines: Sequence[str]) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="glamm-captions-") as folder:
        file = Path(folder) / "captions.txt"
        file.write_text("\n".join(line.replace("\n", " ") for line in lines), encoding="utf-8")
        command = [
            *(str(java), _SERIAL, "-cp", str(_package_folder("tokenizer") / _TOKENIZER_JAR)),
            *("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", str(file)),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_TOKENIZER_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostError(f"the caption tokenizer cannot be run: {error}") from error
    if done.returncode:
        raise HostError(f"the caption tokenizer failed: {_last_line(done.stderr)}")
    found = done.stdout.decode("utf-8").split("\n")
    if len(found) < len(lines) or any(found[len(lines) :]):
        raise DataError(
            f"the tokenizer made {len(found)} lines of {len(lines)} captions: one of them holds a line separator"
        )
    return [
        " ".join(word for word in line.rstrip().split(" ") if word not in _DROPPED)
        for line in found[: len(lines)]
    ]


class Meteor:
    """METEOR 1.5 as a process that answers line by line; it loads while other work goes on.

    Use as a context manager: the process is ended in any case.

    Args:
        java: The program.
    """

    def __init__(self, java: Path) -> None:
        self._java = java
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints: IO[bytes] | None = None

    def __enter__(self) -> "Meteor":
        self._complaints = tempfile.TemporaryFile()
        folder = _package_folder("meteor")
        command = [
            *(str(self._java), _METEOR_MEMORY, _SERIAL, "-jar", str(folder / _METEOR_JAR)),
            *("-", "-", "-stdio", "-l", "en", "-norm"),
        ]
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,  # Ctrl-C is ours to handle: no Java stack trace on the terminal
            )
        except OSError as error:
            self._complaints.close()
            raise HostError(f"METEOR cannot be started: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(OSError):  # what it did not read any more
                self._process.communicate()
        if self._complaints is not None:
            self._complaints.close()

    def score(self, captions: TokenisedCaptions) -> MeteorScores:
        """Score all captions: each image's value and the value of the whole set.

        Raises:
            HostError: The process ended or does not answer.

        Source: the line protocol of METEOR 1.5's `-stdio`; separators in the words are removed as COCO's wrapper does.
        """
        statistics = [
            self._ask(_score_line(references, candidate))
            for references, candidate in zip(captions.references, captions.candidates, strict=True)
        ]
        self._tell(" ||| ".join(["EVAL", *statistics]))
        values = [self._number() for _ in statistics]
        return MeteorScores(total=self._number(), per_image=tuple(values))

    def _ask(self, line: str) -> str:
        self._tell(line)
        return self._hear()

    def _tell(self, line: str) -> None:
        try:
            stream = self._running().stdin
            if stream is not None:
                stream.write(f"{line}\n".encode())
                stream.flush()
        except OSError as error:
            raise self._fault("ended") from error

    def _hear(self) -> str:
        process = self._running()
        with _killed_after(process, _ANSWER_SECONDS) as is_late:
            line = process.stdout.readline() if process.stdout else b""
        if not line:
            what = f"did not answer within {_ANSWER_SECONDS:.0f} s" if is_late.is_set() else "ended"
            raise self._fault(what)
        return line.decode("utf-8").strip()

    def _number(self) -> float:
        answer = self._hear()
        try:
            return float(answer)
        except ValueError as error:
            raise self._fault(f"answered '{answer}' where a number was expected") from error

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("METEOR is used outside its `with` block")
        return self._process

    def _fault(self, what: str) -> HostError:
        complaint = ""
        if self._complaints is not None:
            self._complaints.seek(0)
            complaint = _last_line(self._complaints.read())
        return HostError(
            f"METEOR ({self._java}) {what}. {complaint} It needs 2 GB of memory; GLAMM_JAVA names another Java."
        )


def _score_line(references: Sequence[str], candidate: str) -> str:
    cleaned = candidate.replace("|||", "").replace("  ", " ")
    return " ||| ".join(["SCORE", *references, cleaned])


@contextlib.contextmanager
def _killed_after(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[threading.Event]:
    """End a process that keeps us waiting, so that reading from it ends."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()


def _package_folder(part: str) -> Path:
    """Where pycocoevalcap keeps a program."""
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise HostError("pycocoevalcap is not installed: pip install pycocoevalcap")
    return Path(next(iter(spec.submodule_search_locations))) / part


def _last_line(output: bytes) -> str:
    lines = [
        line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()
    ]
    return f"It says: {lines[-1]}." if lines else "It says nothing."
