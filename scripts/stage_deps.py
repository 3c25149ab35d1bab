#!/usr/bin/env python3
"""Write into dvc.yaml which code each stage depends on: the files that its command imports.

    scripts/stage_deps.py            write dvc.yaml
    scripts/stage_deps.py --check    only compare; exits with 1 and the differences if dvc.yaml is out of date

A stage depends on every file of glamm that its `glamm …` command imports, directly or not, anywhere in the text of a
module, and on the package data that these modules name. `package` also depends on what bentofile.yaml packs. A folder
stands for its files where the stage needs all of them. Dependencies outside glamm/ (data, bentofile.yaml) are
written by hand and stay.
"""

import ast
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "glamm"
MAIN = "glamm/cli/main.py"


def stage_files(command: str, root: Path = ROOT) -> set[str]:
    """The files of glamm that a stage's command can run, relative to the root."""
    program, *words = shlex.split(command)
    if program != PACKAGE:
        raise SystemExit(f"not a glamm command: {command}")
    entries = [MAIN, *_command_files(words, root)]
    if words[0] == "package" and words[1:2] != ["smoke"]:
        entries += packed_files(root)
    return import_closure(entries, root)


def packed_files(root: Path = ROOT) -> list[str]:
    """The code that bentofile.yaml packs."""
    patterns = yaml.safe_load((root / "bentofile.yaml").read_text())["include"]
    tracked = set(tracked_files(root))
    files = {
        path.relative_to(root).as_posix()
        for pattern in patterns
        if pattern.startswith(f"{PACKAGE}/")
        for path in root.glob(pattern)
    }
    return sorted(files & tracked)


def import_closure(entries: Iterable[str], root: Path = ROOT) -> set[str]:
    """Files reachable from these by imports of glamm, with package data that a reached module names."""
    reached: set[str] = set()
    waiting = list(entries)
    while waiting:
        file = waiting.pop()
        if file in reached:
            continue
        reached.add(file)
        if file.endswith(".py"):
            tree = ast.parse((root / file).read_text(encoding="utf-8"))
            waiting += _imported_files(tree, file, root)
            waiting += _named_data(tree, file, root)
    return reached


def collapse(files: set[str], root: Path = ROOT) -> list[str]:
    """Name a folder instead of its files where all of its tracked files are among them."""
    folders: dict[str, set[str]] = {}
    for file in tracked_files(root):
        for parent in Path(file).parents:
            folders.setdefault(parent.as_posix(), set()).add(file)
    whole = {folder for folder, inside in folders.items() if folder != "." and inside <= files}
    topmost = {f for f in whole if not any(p.as_posix() in whole for p in Path(f).parents)}
    single = {f for f in files if not any(p.as_posix() in topmost for p in Path(f).parents)}
    return sorted(topmost | single)


def tracked_files(root: Path = ROOT) -> list[str]:
    """Files of glamm that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", PACKAGE],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [name for name in listed.split("\0") if name and (root / name).exists()]


def _command_files(words: list[str], root: Path) -> Iterator[str]:
    """The module of a command, such as cli/train.py, cli/data/prepare.py, cli/package_smoke.py."""
    folder = f"{PACKAGE}/cli"
    first, second = words[0], words[1] if len(words) > 1 else ""
    names = [f"{first}/{second}.py", f"{first}.py", f"{first}_{second}.py"]
    found = [f"{folder}/{name}" for name in names if (root / folder / name).is_file()]
    if not found:
        raise SystemExit(f"no module for the command: glamm {' '.join(words)}")
    yield from found


def _imported_files(tree: ast.Module, file: str, root: Path) -> Iterator[str]:
    if file == f"{PACKAGE}/__init__.py":
        return  # it offers its public names lazily: what is used is imported by its own path
    for node in _runtime_nodes(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name == PACKAGE or name.startswith(f"{PACKAGE}."):
                yield from _module_files(name, root)


def _module_files(name: str, root: Path) -> Iterator[str]:
    """The file of a module and the `__init__.py` of the packages around it; nothing for a name inside a module."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        base = "/".join(parts[:end])
        for candidate in (f"{base}/__init__.py", f"{base}.py"):
            if (root / candidate).is_file():
                yield candidate


def _named_data(tree: ast.Module, file: str, root: Path) -> Iterator[str]:
    """Files that are no Python beside a module whose text names them, such as `assets` or `ui/index.html`."""
    folder = (root / file).parent
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
            if not name or len(name) > 100 or name.startswith((".", "/")) or "\n" in name:
                continue
            path = folder / name
            if path.is_dir() and not (path / "__init__.py").exists():
                yield from (
                    p.relative_to(root).as_posix() for p in sorted(path.rglob("*")) if p.is_file()
                )
            elif path.is_file() and path.suffix != ".py":
                yield path.relative_to(root).as_posix()


def _runtime_nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.If) and _is_type_checking(node.test) and child in node.body:
                continue
            waiting.append(child)


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in {
        getattr(node, "id", getattr(node, "attr", None)) for node in ast.walk(test)
    }


def wanted_deps(stage: dict[str, Any], root: Path = ROOT) -> list[str]:
    """What a stage's `deps` should be, sorted: its own inputs and the code that it can run."""
    inputs = [dep for dep in stage["deps"] if dep.split("/")[0] != PACKAGE]
    return sorted({*inputs, *collapse(stage_files(stage["cmd"], root), root)})


def main() -> None:
    """Write dvc.yaml, or compare."""
    path = ROOT / "dvc.yaml"
    codec = YAML()
    codec.width = 120
    codec.indent(mapping=2, sequence=4, offset=2)
    content = codec.load(path.read_text())
    differences: list[str] = []
    for name, entry in content["stages"].items():
        stage = entry.get("do", entry)
        wanted = wanted_deps(stage)
        present = set(stage["deps"])
        differences += [f"{name}: missing {dep}" for dep in wanted if dep not in present]
        differences += [f"{name}: cannot run {dep}" for dep in sorted(present - set(wanted))]
        stage["deps"].clear()
        stage["deps"].extend(wanted)
    if "--check" in sys.argv:
        sys.stderr.write("".join(f"{line}\n" for line in differences))
        sys.exit(bool(differences))
    with path.open("w") as file:
        codec.dump(content, file)


if __name__ == "__main__":
    main()
