"""A stage of dvc.yaml is stale after exactly those edits that its command can run."""

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = {name: stage.get("do", stage) for name, stage in PIPELINE.items()}

# Runs a command and writes which files of glamm were imported, in this process and in its children.
RECORDED = """
import atexit, json, os, sys
from pathlib import Path

def write_imports():
    files = [module.__file__ for name, module in list(sys.modules.items())
             if name.split(".")[0] == "glamm" and getattr(module, "__file__", None)]
    Path(sys.argv[0]).with_name(f"imports-{os.getpid()}.json").write_text(json.dumps(files))

if __name__ == "__main__":  # not in spawned workers
    atexit.register(write_imports)
    from glamm.cli import main
    main()
"""


@pytest.fixture(scope="module")
def stage_deps() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stage_deps", ROOT / "scripts/stage_deps.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", STAGES, ids=str)
def test_stage_names_exactly_the_code_that_its_command_imports(name, stage_deps):
    """Where this fails, run scripts/stage_deps.py: it writes the list."""
    assert STAGES[name]["deps"] == stage_deps.wanted_deps(STAGES[name])


@pytest.mark.parametrize(
    ("edited", "stale"),
    [
        ("glamm/cli/main.py", set(STAGES)),
        ("glamm/synthetic/scene.py", {"synth"}),
        ("glamm/config/synthetic.py", {"synth", "package"}),  # the Bento packs glamm/config
        ("glamm/data/readers/referring.py", {"prepare"}),
        ("glamm/data/inspection/html_viewer.py", set()),
        ("glamm/data/loading/sampler.py", {"train"}),
        ("glamm/training/optimizer.py", {"train"}),
        ("glamm/training/assets/tiny-start/model.safetensors", {"train"}),
        ("glamm/inference/overlay.py", {"evaluate", "package", "smoke"}),
        ("glamm/inference/engine.py", {"evaluate", "package"}),
        ("glamm/evaluation/gcg/score.py", {"evaluate"}),
        ("glamm/evaluation/metrics/referring.py", {"refseg"}),
        ("glamm/evaluation/conformance/run.py", set()),
        ("glamm/checkpoints/write_release.py", {"package"}),
        ("glamm/serving/service.py", {"package"}),
        ("glamm/serving/smoke.py", {"package", "smoke"}),
        ("glamm/text/assets/tokenizer.model", set(STAGES) - {"synth"}),
        ("glamm/cli/serve.py", set()),
        ("flows/train_glamm.py", set()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_edit_makes_the_stages_stale_that_can_run_it(edited, stale):
    """Written by hand from what the stages do, not from their imports."""
    found = {
        name
        for name, stage in STAGES.items()
        if any(edited == dep or edited.startswith(f"{dep}/") for dep in stage["deps"])
    }

    assert (ROOT / edited).exists()
    assert found == stale


def test_closure_follows_imports_anywhere_but_not_those_for_type_checkers(stage_deps, tmp_path):
    files = {
        "glamm/__init__.py": "def __getattr__(name):\n    from glamm import lazy\n",
        "glamm/a.py": "def f():\n    from glamm.sub import b\n",
        "glamm/sub/__init__.py": "",
        "glamm/sub/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from glamm import c\n"
        'else:\n    import glamm.d\nNAME = "words.txt"\n',
        "glamm/sub/words.txt": "",
        "glamm/sub/other.txt": "",
        "glamm/c.py": "",
        "glamm/d.py": "",
        "glamm/lazy.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    reached = stage_deps.import_closure(["glamm/a.py"], tmp_path)

    assert reached == {
        "glamm/__init__.py",
        "glamm/a.py",
        "glamm/d.py",
        "glamm/sub/__init__.py",
        "glamm/sub/b.py",
        "glamm/sub/words.txt",
    }


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_commands_import_nothing_that_their_stage_does_not_name(tmp_path):
    """Really run: what Python imported, not what a reading of the code says."""
    small = ["num_grand=14", "num_train=14", "num_val=4", "num_test=2", "image_size=64"]
    settings = {
        "synth": [f"synth.{value}" for value in small],
        "train": ["train.max_steps=2", "train.devices=2", "train.loader.batch_size=2"],
        "evaluate": ["evaluate.limit=1", "evaluate.max_new_tokens=8"],
    }
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())

    for name in ("synth", "prepare", "train", "evaluate", "refseg"):
        folder = tmp_path / "imports" / name
        folder.mkdir(parents=True)
        (folder / "run.py").write_text(RECORDED)
        words = shlex.split(STAGES[name]["cmd"].replace("${item}", "val"))[1:]
        overrides = [word for value in settings.get(name, []) for word in ("--set", value)]
        (tmp_path / "data/reports/val").mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, folder / "run.py", *words, *overrides],
            cwd=tmp_path,
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        imported = {
            Path(file).relative_to(ROOT).as_posix()
            for record in folder.glob("imports-*.json")
            for file in json.loads(record.read_text())
        }
        deps = STAGES[name]["deps"]
        missing = [
            file
            for file in sorted(imported)
            if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)
        ]
        assert imported
        assert missing == []
