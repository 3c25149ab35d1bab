"""METEOR 1.5, a Java program that pycocoevalcap contains.

It is started here and not by pycocoevalcap, which takes any `java` on PATH, writes into its own installation, and
leaves METEOR running after an error.
"""

import contextlib
import math
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from glamm.errors import HostError
from glamm.evaluation.java_runtime import (
    JAVA_OPTIONS,
    VARIABLE,
    java_environment,
    last_line,
    plain_path,
    pycocoevalcap_folder,
)
from glamm.evaluation.metrics.captions import MeteorScores, TokenizedCaptions
from glamm.stop_request import uninterrupted
from glamm.subprocesses import end_process_groups, supervised

_JAR = "meteor-1.5.jar"
_MEMORY_LIMIT = "-Xmx2G"
_GRACE_S = 2.0
_ANSWER_TIMEOUT_S = 300.0
"""METEOR answers the first line only after it has loaded its paraphrases, which takes 8 to 15 s."""


class _NoAnswerError(Exception):
    """METEOR ended, answered something else than numbers, or did not answer in time."""

    def __init__(self, reason: str, *, is_late: bool = False) -> None:
        super().__init__(reason)
        self.is_late = is_late


class Meteor:
    """METEOR as a process that answers line by line. It loads its paraphrases while other work goes on.

    Use as a context manager; the process ends with the block, and also if this process is killed.

    Args:
        java: A program that `find_java` found.
    """

    def __init__(self, java: Path) -> None:
        self._java = java
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> "Meteor":
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._resources.close()
        self._process = None

    def score(self, captions: TokenizedCaptions) -> MeteorScores:
        """Score each image and the whole set.

        A process that ended is started once more. A caption at which it fails again counts as empty.

        Raises:
            HostError: METEOR fails at an empty caption too, or at the whole set.

        Source: the line protocol of METEOR 1.5's `-stdio`; its separators are removed from the captions, as COCO's
            wrapper does.
        """
        failures: dict[int, str] = {}
        statistics: list[str] = []
        for index, references in enumerate(captions.references):
            answer = self._statistics(references, captions.candidates[index])
            if isinstance(answer, _NoAnswerError):
                failures[index] = f"METEOR {answer}"
                self._start()
                answer = self._statistics(references, "")
            if isinstance(answer, _NoAnswerError):
                raise self._error(answer)
            statistics.append(answer)
        try:
            scores = self._evaluate(statistics)
        except _NoAnswerError:
            self._start()
            try:
                scores = self._evaluate(statistics)
            except _NoAnswerError as error:
                raise self._error(error) from error
        return MeteorScores(total=scores[-1], per_image=tuple(scores[:-1]), failures=failures)

    def _statistics(self, references: Sequence[str], candidate: str) -> str | _NoAnswerError:
        """The counts that METEOR's score is computed from; the error if a second process fails as well."""
        line = _score_line(references, candidate)
        try:
            return _check_numbers(self._request(line))
        except _NoAnswerError as error:
            if error.is_late:
                return error
        self._start()  # the machine may have ended the first
        try:
            return _check_numbers(self._request(line))
        except _NoAnswerError as error:
            return error

    def _evaluate(self, statistics: Sequence[str]) -> list[float]:
        """The score of every image, then that of the set."""
        answers = [self._request(" ||| ".join(["EVAL", *statistics]))]
        answers += [self._request(None) for _ in statistics]
        return [float(_check_numbers(answer)) for answer in answers]

    def _start(self) -> None:
        """Start the process; a former one is ended."""
        self.__exit__()
        self._errors = self._resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed by the stack
        folder = self._resources.enter_context(plain_path(pycocoevalcap_folder("meteor")))
        command = [
            *(str(self._java), _MEMORY_LIMIT, *JAVA_OPTIONS, "-jar", str(folder / _JAR)),
            *("-", "-", "-stdio", "-l", "en", "-norm"),
        ]
        try:
            self._process = self._resources.enter_context(
                supervised(
                    command,
                    cwd=folder,
                    env=java_environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    grace_s=_GRACE_S,
                )
            )
        except OSError as error:
            raise HostError(f"METEOR cannot be started: {error}") from error

    def _request(self, line: str | None) -> str:
        """Send a line, or nothing, and wait for the next line of the answer."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("METEOR is used outside its `with` block")
        with _ended_after(process, _ANSWER_TIMEOUT_S) as is_late:
            answer = b""
            with contextlib.suppress(OSError):  # it has ended
                if line is not None:
                    process.stdin.write(f"{line}\n".encode())
                    process.stdin.flush()
                answer = process.stdout.readline()
        if is_late.is_set():
            raise _NoAnswerError(f"did not answer within {_ANSWER_TIMEOUT_S:.0f} s", is_late=True)
        if not answer:
            raise _NoAnswerError("ended")
        return answer.decode("utf-8", "replace").strip()

    def _error(self, fault: Exception) -> HostError:
        output = b""
        if self._errors is not None:
            self._errors.seek(0)
            output = self._errors.read()
        return HostError(
            f"METEOR ({self._java}) {fault}. {last_line(output)} METEOR needs 2 GB of memory; {VARIABLE} selects "
            "another Java."
        )


def _check_numbers(answer: str) -> str:
    try:
        numbers = [float(word) for word in answer.split()]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise _NoAnswerError(f"answered '{answer}' where numbers were expected")
    return answer


def _score_line(references: Sequence[str], candidate: str) -> str:
    cleaned = candidate.replace("|||", "").replace("  ", " ")
    return " ||| ".join(["SCORE", *references, cleaned])


@contextlib.contextmanager
def _ended_after(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[threading.Event]:
    """End a process that does not answer in time, so that the blocked read from it returns.

    Yields:
        An event that is set when the process was ended.
    """
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        end_process_groups([process.pid], grace_s=_GRACE_S)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield is_late
    finally:
        timer.cancel()
