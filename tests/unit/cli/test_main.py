import errno
import importlib
import subprocess
import sys

import pytest

from glamm.errors import DataError, RequestError, RunInterrupted

root = importlib.import_module("glamm.cli.main")  # the package's `main` is the function


@pytest.fixture
def run_failing(monkeypatch, capsys):
    """Run the command line with a command that raises; return its exit code and the text on its error stream."""

    def run(error: BaseException) -> tuple[int, str]:
        def fail(**_):
            raise error

        monkeypatch.setattr(root, "app", fail)
        with pytest.raises(SystemExit) as caught:
            root.main()
        return caught.value.code, capsys.readouterr().err

    return run


def test_expected_failure_is_one_line_without_traceback(run_failing):
    code, output = run_failing(DataError("is cut", file="a/b.json", record=3, field="caption"))

    assert code == 1
    assert output == "error: file a/b.json, record 3, field caption: is cut\n"


def test_message_with_brackets_is_printed_as_it_is(run_failing):
    _, output = run_failing(RequestError("the question holds [SEG], which is reserved"))

    assert "[SEG]" in output


def test_ctrl_c_ends_with_130(run_failing):
    code, output = run_failing(KeyboardInterrupt())

    assert code == RunInterrupted.exit_code == 130
    assert output.startswith("interrupted: ")
    assert "Traceback" not in output


def test_full_disk_names_the_file(run_failing):
    code, output = run_failing(OSError(errno.ENOSPC, "No space left on device", "out/x.jpg"))

    assert code == 1
    assert "the disk is full while writing out/x.jpg" in output


def test_path_that_cannot_be_written_is_named(run_failing):
    code, output = run_failing(PermissionError(errno.EACCES, "Permission denied", "/srv/out.json"))

    assert code == 1
    assert output.startswith("error: /srv/out.json: Permission denied")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(**_):
        raise ZeroDivisionError

    monkeypatch.setattr(root, "app", fail)
    with pytest.raises(ZeroDivisionError):
        root.main()


COMMANDS = [
    "checkpoint",
    "conformance",
    "convert",
    "data",
    "evaluate",
    "ground",
    "package",
    "report",
    "serve",
    "synth",
    "train",
]
GROUPS = {
    "data": ["doctor", "export-parquet", "prepare", "read", "render", "stats"],
    "evaluate": ["gcg", "refseg", "semseg"],
}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        root.app([command, "--help"], exit_on_error=False)

    assert command in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "commands"),
    [([], COMMANDS), *(([group], names) for group, names in GROUPS.items())],
    ids=["glamm", *GROUPS],
)
def test_help_describes_every_command_in_a_line(words, commands, capsys):
    with pytest.raises(SystemExit, match="0"):
        root.app([*words, "--help"], exit_on_error=False)

    lines = capsys.readouterr().out.splitlines()
    described: dict[str, str] = {
        name: description.strip(" │")
        for line in lines
        if line.startswith("│ ")
        for name, _, description in [line.removeprefix("│ ").partition(" ")]
    }
    assert sorted(name for name in described if not name.startswith("-")) == commands
    assert all(described[name].endswith(".") for name in commands)


@pytest.mark.parametrize("words", [[], ["data"], ["evaluate"]], ids=["glamm", "data", "evaluate"])
def test_help_imports_no_command(words):
    """`glamm --help` takes 0.15 s: it loads nothing heavier than rich."""
    program = (
        "import sys; from glamm.cli.main import app\n"
        f"try: app({[*words, '--help']!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'bentoml', 'lightning', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()
