"""Public names against docs/reference/glossary.md: its terms exist, its unwanted words occur in no name."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs/reference/glossary.md"
UNWANTED = "## Words that we do not use"
WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


def table_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if row[0] not in {"term", "word"}]


def unwanted_words(folder: str) -> set[str]:
    """The words that no name below a folder may contain."""
    words = set()
    for row in table_rows(GLOSSARY.read_text().split(UNWANTED)[1]):
        for entry in row[0].split(", "):
            word, _, condition = entry.partition(" ")
            if f"outside `{folder}/`" not in condition:
                words.add(word)
    return words


def code_names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def terms() -> list[str]:
    rows = table_rows(GLOSSARY.read_text().split(UNWANTED)[0])
    return [name for row in rows for name in code_names(row[0])]


def names_of(node: ast.AST) -> Iterator[str]:
    """Public names that a module or a class defines: functions, parameters, classes, fields, constants, options."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_") and child.name != "__init__":
                continue
            arguments = child.args
            parameters = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            yield from (child.name, *(parameter.arg for parameter in parameters))
            yield from options(arguments)
        elif isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield child.name
            yield from names_of(child)
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def options(arguments: ast.arguments) -> Iterator[str]:
    """Command line options that are not called like their parameter."""
    for node in ast.walk(arguments):
        if isinstance(node, ast.Constant) and str(node.value).startswith("--"):
            yield str(node.value).lstrip("-").replace("-", "_")


@cache
def public_names(folder: str) -> dict[str, str]:
    """Each public name below a folder, with a file that has it."""
    names: dict[str, str] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        file = str(path.relative_to(ROOT))
        for name in (
            *path.relative_to(ROOT).with_suffix("").parts,
            *names_of(ast.parse(path.read_text())),
        ):
            if not name.startswith("_"):
                names.setdefault(name, file)
    return names


@pytest.mark.parametrize("folder", ["glamm", "flows"])
def test_public_names_contain_no_unwanted_word(folder):
    unwanted = unwanted_words(folder)

    wrong = {
        name: file
        for name, file in public_names(folder).items()
        if unwanted & {word.lower() for word in WORD.findall(name)}
    }

    assert not wrong


@pytest.mark.parametrize("term", terms())
def test_term_exists_in_the_code(term):
    assert term in public_names("glamm") | public_names("flows")


def test_no_term_is_listed_twice():
    listed = terms()

    assert sorted(listed) == sorted(set(listed))
