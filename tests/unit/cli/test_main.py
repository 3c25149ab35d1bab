import errno
import importlib

import pytest

from glamm.errors import DataError, RequestError, RunInterrupted

root = importlib.import_module("glamm.cli.main")  # the package's `main` is the function


@pytest.fixture
def run_failing(monkeypatch, capsys):
    """Run the command line with a command that raises; return its exit code and what the terminal shows."""

    def run(error: BaseException) -> tuple[int, str]:
        def fail(**_):
            raise error

        monkeypatch.setattr(root, "app", fail)
        with pytest.raises(SystemExit) as caught:
            root.main()
        return caught.value.code, capsys.readouterr().err

    return run


def test_expected_failure_is_one_line_without_traceback(run_failing):
    code, shown = run_failing(DataError("is cut", file="a/b.json", record=3, field="caption"))

    assert code == 1
    assert shown == "error: file a/b.json, record 3, field caption: is cut\n"


def test_message_with_brackets_is_shown_as_it_is(run_failing):
    _, shown = run_failing(RequestError("the question holds [SEG], which is reserved"))

    assert "[SEG]" in shown


def test_ctrl_c_ends_with_130(run_failing):
    code, shown = run_failing(KeyboardInterrupt())

    assert code == RunInterrupted.exit_code == 130
    assert shown.startswith("interrupted: ")
    assert "Traceback" not in shown


def test_full_disk_names_the_file(run_failing):
    code, shown = run_failing(OSError(errno.ENOSPC, "No space left on device", "out/x.jpg"))

    assert code == 1
    assert "the disk is full while writing out/x.jpg" in shown


def test_a_place_that_cannot_be_is_named(run_failing):
    code, shown = run_failing(PermissionError(errno.EACCES, "Permission denied", "/root/out.json"))

    assert code == 1
    assert shown.startswith("error: /root/out.json: Permission denied")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(root, "app", fail)
    with pytest.raises(ZeroDivisionError):
        root.main()


@pytest.mark.parametrize(
    "command",
    ["synth", "data", "train", "ground", "evaluate", "conformance", "package", "serve", "summary"],
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        root.app([command, "--help"], exit_on_error=False)

    assert command in capsys.readouterr().out
