"""What bentofile.yaml promises: the packed code is complete, and nothing else is packed."""

import ast
import importlib.metadata
import sys
from pathlib import Path

import yaml

from glamm.config.package import PackageConfig
from glamm.serving.bento_build import packed_code
from glamm.serving.service import GLaMMService

ROOT = Path(__file__).parents[2]
BENTOFILE = yaml.safe_load((ROOT / "bentofile.yaml").read_text())

# Requirements of BentoML, which it adds by itself.
BROUGHT_BY_BENTOML = {"bentoml", "psutil", "yaml"}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def packed_modules() -> list[Path]:
    return [path for path in packed_code(ROOT) if path.suffix == ".py"]


def test_bentofile_s_service_resolves():
    module, name = BENTOFILE["service"].split(":")

    assert getattr(sys.modules[module], name) is GLaMMService
    assert GLaMMService.name == PackageConfig().name


def test_packed_code_imports_only_packed_code():
    packed = {
        path.with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in packed_modules()
    }
    missing = {
        (path.as_posix(), name)
        for path in packed_modules()
        for name in imports_of(ROOT / path)
        if name.startswith("glamm.")
        and name not in packed
        and name.rpartition(".")[0] not in packed
    }

    assert missing == set()


def test_bento_has_no_code_that_serving_does_not_need():
    parts = {path.parts[1] for path in packed_modules() if len(path.parts) > 2}

    assert parts.isdisjoint({"training", "evaluation", "data", "synthetic", "tracking", "cli"})


def test_packed_packages_are_those_of_constraints():
    constraints = set((ROOT / "constraints.txt").read_text().split())

    assert [pin for pin in BENTOFILE["python"]["packages"] if pin not in constraints] == []


def test_every_import_has_its_package():
    packages = {pin.partition("==")[0].lower() for pin in BENTOFILE["python"]["packages"]}
    providers = importlib.metadata.packages_distributions()
    imported = {
        name.partition(".")[0] for path in packed_modules() for name in imports_of(ROOT / path)
    }
    foreign = imported - set(sys.stdlib_module_names) - {"glamm", "_typeshed"} - BROUGHT_BY_BENTOML

    lacking = {
        name
        for name in foreign
        if not {provider.lower().replace("_", "-") for provider in providers[name]} & packages
    }
    assert lacking == set()
