"""dvc.yaml, params.yaml and prefect.yaml name things that exist, and name all of them."""

import ast
import importlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from glamm.config.params import Params, load_params

ROOT = Path(__file__).parents[2]
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = {name: stage.get("do", stage) for name, stage in PIPELINE.items()}
# What params.yaml pins (values), and what says only how errors and shapes are called.
VALUES_ONLY = {"glamm.config", "glamm.errors", "glamm.typing", "glamm.cli"}


def test_params_file_names_every_value_that_a_run_may_change():
    written = yaml.safe_load((ROOT / "params.yaml").read_text())

    validated = load_params(ROOT / "params.yaml").model_dump(mode="json")

    # Equal keys at every depth: a default that is not written here could change without a stage becoming stale.
    assert sorted(keys(written)) == sorted(keys(validated))
    assert list(written) == list(Params.model_fields)


@pytest.mark.parametrize("name", STAGES, ids=str)
def test_stage_command_imports(name: str):
    program, command, *_ = shlex.split(STAGES[name]["cmd"])

    assert program == "glamm"
    assert importlib.import_module(f"glamm.cli.{command}").app


@pytest.mark.parametrize("name", STAGES, ids=str)
def test_stage_depends_on_what_exists_or_is_made(name: str):
    made = {out for stage in STAGES.values() for out in outs(stage)}

    unknown = [dep for dep in STAGES[name]["deps"] if dep not in made and not (ROOT / dep).exists()]

    assert unknown == []


# `smoke` runs the code that is inside the Bento.
@pytest.mark.parametrize("name", [name for name in STAGES if name != "smoke"], ids=str)
def test_stage_depends_on_all_the_code_it_runs(name: str):
    command = shlex.split(STAGES[name]["cmd"])[1]
    deps = [ROOT / dep for dep in STAGES[name]["deps"]]

    needed = (
        source(module)
        for module in closure(f"glamm.cli.{command}")
        if not any(module == part or module.startswith(f"{part}.") for part in VALUES_ONLY)
    )
    missing = sorted(
        str(file.relative_to(ROOT))
        for file in needed
        if not any(file == dep or dep in file.parents for dep in deps)
    )

    assert missing == []


@pytest.mark.parametrize("name", ["synth", "prepare", "train", "evaluate"])
def test_change_of_the_service_makes_only_packaging_stale(name: str):
    assert "glamm/serving" not in STAGES[name]["deps"]
    assert "glamm/serving" in STAGES["package"]["deps"]


@pytest.mark.parametrize(
    "module", ["flows.train_glamm", "flows.prefect_plugin", "flows.local", "flows.graph"]
)
def test_flow_entry_point_imports_without_torch(module: str):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()


def test_prefect_deployments_resolve():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]

    for deployment in deployments:
        file, flow = deployment["entrypoint"].split(":")
        module = importlib.import_module(Path(file).with_suffix("").as_posix().replace("/", "."))
        assert f"{getattr(module, flow).name}/{deployment['name']}" == "train-glamm/default"


def outs(stage: dict[str, Any]) -> Iterator[str]:
    """Paths that a stage makes; for a `foreach` those of every item."""
    items = next((s["foreach"] for s in PIPELINE.values() if s.get("do") is stage), [""])
    for entry in [*stage.get("outs", []), *stage.get("metrics", [])]:
        path = entry if isinstance(entry, str) else next(iter(entry))
        yield from (path.replace("${item}", item) for item in items)


def keys(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")


def source(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def closure(module: str) -> set[str]:
    """The modules of glamm that a module imports, at any depth, anywhere in their text."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        # The root package only offers names lazily; what is used is imported by its own path.
        if current in seen or current == "glamm" or not source(current).exists():
            continue
        seen.add(current)
        waiting += imports(source(current))
        waiting.append(current.rpartition(".")[0])
    return seen - {module}


def imports(file: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in found if name.startswith("glamm.")]
