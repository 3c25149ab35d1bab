"""The root of the command line: finds the command, and turns expected failures into one line."""

import errno
import logging
import os
import sys

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.logging import RichHandler

from glamm import __version__
from glamm.errors import GlammError, HostError, RunInterrupted

app = App(
    name="glamm",
    help="The factory around GLaMM: data, training, evaluation, packaging, service.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` says that it was interrupted
)
for _command in (
    "synth",
    "data",
    "train",
    "ground",
    "evaluate",
    "conformance",
    "convert",
    "checkpoint",
    "package",
    "serve",
    "summary",
):
    app.command(f"glamm.cli.{_command}:app", name=_command)

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


def main() -> None:
    """Run the command line; an expected failure prints one line and ends with its exit code."""
    logging.raiseExceptions = (
        False  # a log file on a full disk, such as W&B's, is no reason for a traceback
    )
    logging.basicConfig(
        level=os.environ.get("GLAMM_LOG_LEVEL", "INFO").upper(),
        handlers=[_log_handler()],
    )
    # before anything loads torch: commands share a small machine, where two threads are slower than one
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        app(exit_on_error=False, print_error=True)
    except CycloptsError:
        sys.exit(2)
    except KeyboardInterrupt:
        _end(RunInterrupted("interrupted; what was finished before is kept"))
    except GlammError as error:
        _end(error)
    except OSError as error:
        if error.errno not in _FULL_DISK:
            if error.filename is None:
                raise
            _end(
                HostError(
                    f"{error.filename}: {error.strerror}. Name another place, or repair this one."
                )
            )
        place = f" while writing {error.filename}" if error.filename else ""
        _end(HostError(f"the disk is full{place}. Free some space and run the same command again."))


def _log_handler() -> logging.Handler:
    """Colours for a person; for a file or a pipeline plain lines, which nothing wraps."""
    console = Console(stderr=True)
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)-8s %(message)s"))
    return handler


def _end(error: GlammError) -> None:
    kind = "interrupted" if isinstance(error, RunInterrupted) else "error"
    Console(stderr=True, soft_wrap=True).print(f"[bold red]{kind}:[/] ", end="")
    Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(str(error))
    sys.exit(error.exit_code)
