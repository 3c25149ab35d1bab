"""dvc.yaml, params.yaml and prefect.yaml name things that exist, and name all of them."""

import importlib
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml

from glamm.cli import app
from glamm.config.params import Params, load_params
from glamm.config.section import SECTIONS

ROOT = Path(__file__).parents[2]
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = {name: stage.get("do", stage) for name, stage in PIPELINE.items()}


def test_params_file_names_every_value_that_a_run_may_change():
    written = yaml.safe_load((ROOT / "params.yaml").read_text())

    validated = load_params(ROOT / "params.yaml").model_dump(mode="json")

    # Equal keys at every depth: a default that is not written here could change without a stage becoming stale.
    assert sorted(keys(written)) == sorted(keys(validated))
    # Equal values: a command outside a checkout does the same.
    assert validated == Params().model_dump(mode="json")
    assert list(written) == list(Params.model_fields) == list(SECTIONS)


@pytest.mark.parametrize("name", STAGES, ids=str)
def test_stage_command_imports(name: str):
    program, *words = shlex.split(STAGES[name]["cmd"])

    assert program == "glamm"
    with pytest.raises(SystemExit, match="0"):
        app([*takewhile(str.isalpha, words[:2]), "--help"], exit_on_error=False)


@pytest.mark.parametrize("name", STAGES, ids=str)
def test_stage_depends_on_what_exists_or_is_made(name: str):
    made = {out for stage in STAGES.values() for out in outs(stage)}

    unknown = [dep for dep in STAGES[name]["deps"] if dep not in made and not (ROOT / dep).exists()]

    assert unknown == []


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
