"""The processes of a run on several devices: started early, silent, and never left behind.

Every process runs the same command; the environment says which one it is. Lightning would start the others itself,
but only after the first has loaded everything, and when one fails it kills the rest in the middle of their words.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import IO, NoReturn

from glamm.errors import HostError, RunInterrupted
from glamm.subprocesses import LOOPBACK, end_with_parent, free_port

_RANK = "LOCAL_RANK"
_CHILD = "GLAMM_CHILD_PROCESS"
_GRACE_SECONDS = 15.0


def is_first_process() -> bool:
    """Whether this process is the one that speaks, validates and writes."""
    # RANK counts over machines; only launchers set it
    return os.environ.get("RANK", os.environ.get(_RANK, "0")) == "0"


class OtherProcesses:
    """Starts a process for every further device, and ends them with this one.

    Nothing is started for one device, in a process that was started so itself, or where a launcher such as torchrun
    has set LOCAL_RANK.

    Args:
        devices: Of this machine.
    """

    def __init__(self, devices: int) -> None:
        self._devices = devices
        self._children: list[subprocess.Popen[bytes]] = []
        self._words: list[IO[bytes]] = []

    def __enter__(self) -> "OtherProcesses":
        """Start them."""
        if _CHILD in os.environ:
            end_with_parent(int(os.environ[_CHILD]))
        elif self._devices > 1 and _RANK not in os.environ:
            os.environ |= {
                "MASTER_ADDR": LOOPBACK,
                "MASTER_PORT": str(free_port()),
                "NODE_RANK": "0",
                "WORLD_SIZE": str(self._devices),
                _RANK: "0",
            }
            self._start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Wait for them, or end them if this one failed.

        Raises:
            SystemExit: One of them failed first; what it said is shown, once.
            HostError: One of them was killed.
        """
        if not self._children:
            return
        is_of_link = isinstance(error, RuntimeError | OSError)  # what the link between them raises
        failed = self._first_failed() if is_of_link else None
        if error is None or isinstance(error, RunInterrupted):
            self._wait()
        for child in self._children:
            child.kill()
            child.wait()
        for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "WORLD_SIZE", _RANK):
            os.environ.pop(name, None)
        try:
            if failed is not None:
                self._fail_as(failed)
        finally:
            self._close()

    def _start(self) -> None:
        for rank in range(1, self._devices):
            words = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
            environment = os.environ | {
                _RANK: str(rank),
                _CHILD: str(os.getpid()),
                "GLAMM_LOG_LEVEL": "ERROR",
            }
            try:
                child = subprocess.Popen(
                    [sys.executable, *sys.orig_argv[1:]],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=words,
                )
            except OSError as error:
                raise HostError(
                    f"process {rank + 1} of {self._devices} does not start ({error.strerror}): "
                    "ask for fewer with train.devices"
                ) from error
            self._words.append(words)
            self._children.append(child)

    def _fail_as(self, index: int) -> NoReturn:
        code = self._children[index].returncode
        words = self._words[index]
        words.seek(0)
        said = words.read().decode(errors="replace")
        if code < 0:
            last = said.strip().splitlines()[-1:]
            raise HostError(
                f"process {index + 2} of {self._devices} ended with {signal.Signals(-code).name}; "
                f"{f'its last words: {last[0]}' if last else 'it said nothing'}. "
                "The same command goes on from the last checkpoint."
            ) from None
        sys.stderr.write(said)
        sys.exit(code)

    def _close(self) -> None:
        for words in self._words:
            words.close()

    def _first_failed(self) -> int | None:
        """Which one ended with an error; when one does, the rest fail for want of it, a moment later."""
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            codes = [child.poll() for child in self._children]
            failed = next((index for index, code in enumerate(codes) if code), None)
            if failed is not None:
                return failed
            time.sleep(0.05)
        return None

    def _wait(self) -> None:
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline and any(c.poll() is None for c in self._children):
            time.sleep(0.05)
