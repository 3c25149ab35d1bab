"""METEOR 1.5, a Java program that pycocoevalcap contains.

It is started here and not by pycocoevalcap, which takes any `java` on PATH, writes into its own installation, and
leaves METEOR running after an error.
"""

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from glamm.errors import HostError
from glamm.evaluation.java_runtime import (
    SERIAL_COLLECTOR,
    VARIABLE,
    last_line,
    pycocoevalcap_folder,
)
from glamm.evaluation.metrics.captions import MeteorScores, TokenizedCaptions
from glamm.subprocesses import end_process_groups, start_supervised

_JAR = "meteor-1.5.jar"
_MEMORY_LIMIT = "-Xmx2G"
_GRACE_S = 2.0
_ANSWER_TIMEOUT_S = 300.0
"""METEOR answers the first line only after it has loaded its paraphrases, which takes 8 to 15 s."""


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

    def __enter__(self) -> "Meteor":
        self._errors = tempfile.TemporaryFile()
        folder = pycocoevalcap_folder("meteor")
        command = [
            *(str(self._java), _MEMORY_LIMIT, SERIAL_COLLECTOR, "-jar", str(folder / _JAR)),
            *("-", "-", "-stdio", "-l", "en", "-norm"),
        ]
        try:
            self._process = start_supervised(
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                grace_s=_GRACE_S,
            )
        except OSError as error:
            self._errors.close()
            raise HostError(f"METEOR cannot be started: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            end_process_groups([self._process.pid], grace_s=_GRACE_S)
            with contextlib.suppress(OSError):  # lines that METEOR did not read
                self._process.communicate()
        if self._errors is not None:
            self._errors.close()

    def score(self, captions: TokenizedCaptions) -> MeteorScores:
        """Score each image and the whole set.

        Raises:
            HostError: The process ended or does not answer.

        Source: the line protocol of METEOR 1.5's `-stdio`; its separators are removed from the captions, as COCO's
            wrapper does.
        """
        statistics = [
            self._request(_score_line(references, candidate))
            for references, candidate in zip(captions.references, captions.candidates, strict=True)
        ]
        self._send(" ||| ".join(["EVAL", *statistics]))
        per_image = tuple(self._receive_number() for _ in statistics)
        return MeteorScores(total=self._receive_number(), per_image=per_image)

    def _request(self, line: str) -> str:
        self._send(line)
        return self._receive()

    def _send(self, line: str) -> None:
        try:
            stream = self._running().stdin
            if stream is not None:
                stream.write(f"{line}\n".encode())
                stream.flush()
        except OSError as error:
            raise self._error("ended") from error

    def _receive(self) -> str:
        process = self._running()
        with _ended_after(process, _ANSWER_TIMEOUT_S) as is_late:
            line = process.stdout.readline() if process.stdout else b""
        if not line:
            late = f"did not answer within {_ANSWER_TIMEOUT_S:.0f} s"
            raise self._error(late if is_late.is_set() else "ended")
        return line.decode("utf-8").strip()

    def _receive_number(self) -> float:
        answer = self._receive()
        try:
            return float(answer)
        except ValueError as error:
            raise self._error(f"answered '{answer}' where a number was expected") from error

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("METEOR is used outside its `with` block")
        return self._process

    def _error(self, fault: str) -> HostError:
        output = b""
        if self._errors is not None:
            self._errors.seek(0)
            output = self._errors.read()
        return HostError(
            f"METEOR ({self._java}) {fault}. {last_line(output)} METEOR needs 2 GB of memory; {VARIABLE} selects "
            "another Java."
        )


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
