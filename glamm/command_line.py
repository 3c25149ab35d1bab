"""Runs a command line: its streams, its end by a signal, and the exit code and the one line of an expected failure."""

import atexit
import errno
import io
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from signal import SIG_DFL, SIG_IGN, SIGINT, SIGPIPE, getsignal, signal

from cyclopts import CycloptsError
from rich import get_console, reconfigure
from rich.console import Console
from rich.logging import RichHandler

from glamm.errors import GlammError, HostError, RunInterrupted
from glamm.stop_request import StopRequest

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
_READER_IS_GONE = 128 + SIGPIPE
_OUTCOME = "ended; what was finished before is kept"
_LAST_SECONDS = 10.0
"""After an interruption, for threads in the middle of a computation, which Python cannot end."""


def run_command_line(app: Callable[[], object]) -> None:
    """Run a command line in this process, and exit if it fails.

    An expected failure is one line and its exit code; a signal is one line and 128 plus its number; a closed pipe is
    141 without a word, as for other programs. Characters that the terminal's encoding lacks are written as `?`.

    Args:
        app: Parses the arguments and calls the command.
    """
    _prepare_streams()
    # A log file on a full disk, such as W&B's, is no reason for a traceback.
    logging.raiseExceptions = False
    logging.basicConfig(
        level=os.environ.get("GLAMM_LOG_LEVEL", "INFO").upper(),
        handlers=[_log_handler()],
    )
    # Before anything loads torch: commands share a small machine, where two threads are slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    stop = StopRequest(outcome=_OUTCOME)
    try:
        with stop:
            code = _run(app)
    except (RunInterrupted, KeyboardInterrupt) as end:
        error = end if isinstance(end, RunInterrupted) else RunInterrupted(_OUTCOME)
        code = 128 + stop.received if stop.received else error.exit_code
        _report(error)
        if stop.received:
            last = threading.Timer(_LAST_SECONDS, os._exit, (code,))
            last.daemon = True
            last.start()
    finally:
        _drop_broken_streams()
        atexit.register(_end_quietly)
    if code:
        sys.exit(code)


def _run(app: Callable[[], object]) -> int:
    """Run the command; return its exit code."""
    try:
        app()
        sys.stdout.flush()
    except CycloptsError:
        return 2
    except RunInterrupted:
        raise
    except GlammError as error:
        _report(error)
        return error.exit_code
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's answer to it
            return _READER_IS_GONE
        raise
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _drop_broken_streams():
            return _READER_IS_GONE
        failure = _host_error(error)
        _report(failure)
        return failure.exit_code
    return 0


def _host_error(error: OSError) -> HostError:
    """What the keeper of the machine must do; an error without a file name is a bug and is raised again."""
    if error.errno in _FULL_DISK:
        file = f" while writing {error.filename}" if error.filename else ""
        return HostError(f"the disk is full{file}. Free some space and run the same command again.")
    if error.filename is None:
        raise error
    return HostError(f"{error.filename}: {error.strerror}. Name another path, or repair this one.")


def _prepare_streams() -> None:
    if sys.getfilesystemencoding() != "utf-8":
        _start_again_with_utf8()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed; the next file that is opened would take its place
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, open(number, "r+" if number == 0 else "w", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _start_again_with_utf8() -> None:
    """Replace this process by one that can name the files of data sets, which are UTF-8; the terminal keeps its encoding.

    Python does so itself in the locale C, unless PYTHONUTF8=0 forbids it, but not in others such as Latin-1.
    """
    if os.environ.get("PYTHONUTF8") == "1":
        return  # started again already
    terminal = f"{sys.stdout.encoding if sys.stdout else 'ascii'}:replace"
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": terminal}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)  # noqa: S606 - this program


def _drop_broken_streams() -> bool:
    """Send the rest of the output nowhere if its reader is gone; return whether one was.

    Without this, Python tries once more at its end and reports the failure.
    """
    is_broken = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            is_broken = True
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return is_broken


def _end_quietly() -> None:
    """Nothing is left to clean up: from now on Ctrl-C ends the process without a traceback."""
    logging.disable(
        logging.INFO
    )  # statistics of libraries that were interrupted while they were imported
    # Python forgets here that it saw a KeyboardInterrupt inside `exec`; else it would end by SIGINT at its end.
    exec("")  # noqa: S102
    if getsignal(SIGINT) is not SIG_IGN:
        signal(SIGINT, SIG_DFL)


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


def _report(error: GlammError) -> None:
    kind = "interrupted" if isinstance(error, RunInterrupted) else "error"
    with suppress(OSError, SystemExit):  # nobody reads it: the terminal or the pipe is closed
        Console(stderr=True, soft_wrap=True).print(f"[bold red]{kind}:[/] ", end="")
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(str(error))
