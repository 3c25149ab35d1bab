"""What the documentation names exists: files, functions, commands with their options, configuration keys, links."""

import ast
import contextlib
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from cyclopts import CycloptsError

from glamm.cli import app

ROOT = Path(__file__).parents[2]
DATED = ROOT / "docs/decisions"
"""Records of their day: names in them may have changed since."""


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", pattern],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()]


PAGES = [
    page
    for page in tracked("*.md")
    if DATED not in page.parents and ROOT / "tests" not in page.parents
]
FENCE = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?<![\w./-])(?:glamm|flows|tests|docs|benchmarks|scripts|recipes)/[\w./*-]*")
NAME = re.compile(r"((?:glamm|flows|benchmarks|scripts)/[\w./-]+\.py)::([\w.]+)")
KEY = re.compile(
    r"(?<![\w./-])(?:synth|prepare|train|evaluate|package)"
    r"(?!\.(?:py|jsonl|json|yaml)\b)(?:\.[a-z_0-9]+)+"
)
DOTTED = re.compile(r"(?<![\w./-])glamm(?:\.[A-Za-z_]\w*)+")
MAKE = re.compile(r"^make ([a-z-]+)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)\)")

PRESENT = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""The changelog also has names of the past."""

pages = pytest.mark.parametrize("page", PRESENT, ids=lambda page: str(page.relative_to(ROOT)))


def inline_code(page: Path) -> list[str]:
    return CODE.findall(FENCE.sub("", page.read_text()))


def blocks(page: Path) -> list[tuple[str, str]]:
    """(info string, content) of the code blocks."""
    return FENCE.findall(page.read_text())


def commands(page: Path) -> Iterator[str]:
    """Lines that call `glamm`, continued lines joined, without comments."""
    for info, content in blocks(page):
        if info.split()[:1] in (["bash"], ["console"]):
            for line in content.replace("\\\n", " ").splitlines():
                start = re.search(r"^(?:\$ )?glamm |-m glamm ", line)
                if start:
                    yield "glamm " + line[start.end() :].split("  #")[0]
    yield from (code for code in inline_code(page) if code.startswith("glamm "))


@cache
def defined_names(file: Path) -> set[str]:
    """Functions and classes of a file, methods as `Class.method`."""
    names = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else []
            names |= {
                f"{node.name}.{method.name}"
                for method in inner
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def is_python_name(dotted: str) -> bool:
    """Whether a module, or a class or function of one, has this name."""
    path, *rest = dotted.split(".")
    file = ROOT / path
    while rest and (file / rest[0]).is_dir():
        file /= rest.pop(0)
    if rest and (file / f"{rest[0]}.py").is_file():
        file /= f"{rest.pop(0)}.py"
    return not rest or (file.is_file() and ".".join(rest) in defined_names(file))


def leaf_keys(tree: dict, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict) and key not in {"dataset_weights", "labels"}:
            yield from leaf_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@pages
def test_files_that_a_page_names_exist(page):
    named = {file for code in inline_code(page) for file in FILE.findall(code.split("::")[0])}

    missing = [file for file in sorted(named) if not list(ROOT.glob(file.rstrip("/")))]

    assert not missing


@pages
def test_functions_that_a_page_names_exist(page):
    named = {found for code in inline_code(page) for found in NAME.findall(code)}

    missing = [
        f"{file}::{name}" for file, name in sorted(named) if name not in defined_names(ROOT / file)
    ]

    assert not missing


@pages
def test_python_names_that_a_page_names_exist(page):
    dotted = {name for code in inline_code(page) for name in DOTTED.findall(code)}

    assert not [name for name in sorted(dotted) if not is_python_name(name)]


@pages
def test_make_targets_that_a_page_names_exist(page):
    texts = (*inline_code(page), *(content for _, content in blocks(page)))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    unknown = {name for text in texts for name in MAKE.findall(text)} - targets

    assert not unknown


@pages
def test_links_of_a_page_lead_to_files(page):
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]

    missing = [link for link in links if not (page.parent / link).exists()]

    assert not missing


@pages
@pytest.mark.slow
def test_commands_that_a_page_names_are_accepted(page):
    refused = {}
    for command in commands(page):
        words = shlex.split(command.replace("...", "X"))[1:]
        error = command_error(words)
        if error:
            refused[command] = error

    assert not refused


def command_error(words: list[str]) -> str | None:
    """The error of the command line for some arguments; None for a complete command, and for one without arguments."""
    if not [word for word in words if word.startswith("-")] and is_command(words):
        return None
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            app.parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return type(error).__name__
    return None


def is_command(words: list[str]) -> bool:
    """Whether all words are names of commands."""
    chain, _, rest = app.parse_commands(words)
    return bool(chain) and not rest


@pages
def test_configuration_keys_that_a_page_names_exist(page):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    known = set(leaf_keys(params))
    texts = (*inline_code(page), *(content for _, content in blocks(page)))

    unknown = {
        key
        for key in KEY.findall("\n".join(texts))
        if key not in known and not any(name.startswith(f"{key}.") for name in known)
    }

    assert not unknown


def test_the_configuration_page_has_every_key_of_params_yaml():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    page = ROOT / "docs/reference/configuration.md"

    missing = set(leaf_keys(params)) - set(inline_code(page))

    assert not missing


@pages
def test_a_page_says_image(page):
    """`picture` occurs in quoted questions, where the models know it, and where the change is explained."""
    prose = re.sub(r'"[^"\n]*"', "", CODE.sub("", FENCE.sub("", page.read_text())))
    lines = [line for line in prose.splitlines() if "picture" in line]

    assert not lines or page.name == "glossary.md"
