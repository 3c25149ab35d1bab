"""The root of the command line: finds the command, and turns expected failures into one line."""

import errno
import logging
import os
import sys

from cyclopts import App, CycloptsError
from rich import get_console, reconfigure
from rich.console import Console
from rich.logging import RichHandler

from glamm import __version__
from glamm.cli.data import app as data
from glamm.cli.evaluate import app as evaluate
from glamm.errors import GlammError, HostError, RunInterrupted

app = App(
    name="glamm",
    help="The factory around GLaMM: data, training, evaluation, packaging, service.",
    version=__version__,
    suppress_keyboard_interrupt=False,  # `main` reports the interruption
)
app.command(data)
app.command(evaluate)
# A command is imported when it is called: `glamm --help` needs neither torch nor BentoML.
for _name, _target, _help in (
    ("synth", "synth:synth", "Generate a data set of scenes with exact masks."),
    ("train", "train:train", "Train a model on shards and write its model folder."),
    ("ground", "ground:ground", "Ask a model about an image: text, and a mask for each phrase."),
    ("conformance", "conformance:conformance", "Compare this installation with the release."),
    ("convert", "convert:convert", "Convert weights into our layout or the release's."),
    ("checkpoint", "checkpoint:app", "Describe or verify a model folder."),
    ("package", "package:app", "Build a Bento of a model, and check that it answers."),
    ("serve", "serve:serve", "Start the service and its page."),
    ("report", "report:report", "Show the results of the last pipeline run."),
):
    app.command(f"glamm.cli.{_target}", name=_name, help=_help)

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}


def main() -> None:
    """Run the command line; an expected failure prints one line and ends with its exit code."""
    # A log file on a full disk, such as W&B's, is no reason for a traceback.
    logging.raiseExceptions = False
    logging.basicConfig(
        level=os.environ.get("GLAMM_LOG_LEVEL", "INFO").upper(),
        handlers=[_log_handler()],
    )
    # Before anything loads torch: commands share a small machine, where two threads are slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        app(exit_on_error=False, print_error=True)
    except CycloptsError:
        sys.exit(2)
    except KeyboardInterrupt:
        _exit(RunInterrupted("interrupted; finished work is kept"))
    except GlammError as error:
        _exit(error)
    except OSError as error:
        _exit(_host_error(error))


def _host_error(error: OSError) -> HostError:
    """What the keeper of the machine must do; an error without a file name is a bug and is raised again."""
    if error.errno in _FULL_DISK:
        file = f" while writing {error.filename}" if error.filename else ""
        return HostError(f"the disk is full{file}. Free some space and run the same command again.")
    if error.filename is None:
        raise error
    return HostError(f"{error.filename}: {error.strerror}. Name another path, or repair this one.")


def _log_handler() -> logging.Handler:
    """Colors on a terminal; plain unwrapped lines in a file or a pipe."""
    reconfigure(stderr=True)
    console = get_console()  # Lightning's progress bar uses it too: log lines do not break the bar
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)-8s %(message)s"))
    return handler


def _exit(error: GlammError) -> None:
    kind = "interrupted" if isinstance(error, RunInterrupted) else "error"
    Console(stderr=True, soft_wrap=True).print(f"[bold red]{kind}:[/] ", end="")
    Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(str(error))
    sys.exit(error.exit_code)
