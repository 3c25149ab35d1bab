"""Starts the processes of a run on several devices, one per device.

Every process runs the same command; environment variables give its rank. Lightning's own launcher starts the others
only after the first has loaded everything, and if one fails, it kills the rest before they have reported why.
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
from glamm.stop_request import uninterrupted
from glamm.subprocesses import LOOPBACK, end_with_parent, free_port

_RANK = "LOCAL_RANK"
_CHILD = "GLAMM_CHILD_PROCESS"
_GRACE_SECONDS = 15.0


def is_first_process() -> bool:
    """Whether this process has rank 0, and therefore logs and writes files."""
    # RANK counts over machines; only launchers such as torchrun set it
    return os.environ.get("RANK", os.environ.get(_RANK, "0")) == "0"


class RankProcesses:
    """Starts a process for every device but the first, and ends them with this process.

    Nothing is started for one device, in a process that was itself started in this way, or if a launcher such as
    torchrun has set LOCAL_RANK. Output of the other processes is shown only if one of them fails first.

    Args:
        devices: Number of devices of this machine.
    """

    def __init__(self, devices: int) -> None:
        self._devices = devices
        self._children: list[subprocess.Popen[bytes]] = []
        self._outputs: list[IO[bytes]] = []

    def __enter__(self) -> "RankProcesses":
        """Start the processes."""
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
            try:
                with uninterrupted():
                    self._start()
            except BaseException:
                self._kill()
                raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Wait for the other processes; kill them if the block failed.

        Raises:
            SystemExit: Another process failed first; its output is shown, and its exit code is the code.
            HostError: Another process was killed.
        """
        if not self._children:
            return
        # the errors of torch.distributed when another process has ended
        may_be_lost = isinstance(error, RuntimeError | OSError)
        failed = self._first_failed() if may_be_lost else None
        if error is None or isinstance(error, RunInterrupted):
            self._wait()
        self._kill()
        for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "WORLD_SIZE", _RANK):
            os.environ.pop(name, None)
        try:
            if failed is not None:
                self._fail_as(failed)
        finally:
            self._close()

    def _start(self) -> None:
        for rank in range(1, self._devices):
            output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
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
                    stdout=output,
                    stderr=output,
                )
            except OSError as error:
                raise HostError(
                    f"process {rank + 1} of {self._devices} cannot be started ({error.strerror}): "
                    "set train.devices to a smaller number"
                ) from error
            self._outputs.append(output)
            self._children.append(child)

    def _kill(self) -> None:
        with uninterrupted():
            for child in self._children:
                child.kill()
                child.wait()

    def _fail_as(self, index: int) -> NoReturn:
        code = self._children[index].returncode
        output = self._outputs[index]
        output.seek(0)
        text = output.read().decode(errors="replace")
        if code < 0:
            last = text.strip().splitlines()[-1:]
            raise HostError(
                f"process {index + 2} of {self._devices} ended with {signal.Signals(-code).name}; "
                f"{f'its last output: {last[0]}' if last else 'it had no output'}. "
                "The same command continues from the last checkpoint."
            ) from None
        sys.stderr.write(text)
        sys.exit(code)

    def _close(self) -> None:
        for output in self._outputs:
            output.close()

    def _first_failed(self) -> int | None:
        """Index of a process that ended with an error; this one notices it a moment before or after it has ended."""
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
