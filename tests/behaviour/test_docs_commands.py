"""The commands and programs of the documentation, run as they are written, on small data.

A block whose info string ends in `test` is run, in the order of the page and in one folder. Values that the commands
take from params.yaml are smaller here, so that a page takes about a minute.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.builders.data import jpeg
from tests.builders.own_data import OWN

ROOT = Path(__file__).parents[2]
EMBEDDED_MODEL = ROOT / "glamm/training/assets/tiny-start"
BLOCK = re.compile(r"^```(bash|python) test\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = {
    "synth": {"image_size": 128, "num_grand": 8, "num_train": 8, "num_val": 2, "num_test": 2},
    "train": {"max_steps": 10, "devices": 1},
    "evaluate": {"max_new_tokens": 8, "num_images": 1},
}

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]


def page_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def write_params(folder: Path) -> None:
    """The repository's params.yaml with small values."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in SMALL.items():
        params[section] |= values
    params["train"]["validation"]["num_batches"] = 1
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def run(kind: str, program: str, folder: Path) -> None:
    """Run a block of a page.

    Raises:
        AssertionError: A command ended with an error.
    """
    command = ["bash", "-euo", "pipefail", "-c"] if kind == "bash" else [sys.executable, "-c"]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("WANDB")
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [*command, program],
        cwd=folder,
        env=environment | {"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{program}\n{done.stdout}\n{done.stderr}"


def run_page(text: str, folder: Path) -> None:
    blocks = BLOCK.findall(text)
    assert blocks
    for kind, program in blocks:
        run(kind, program, folder)


def checkout(folder: Path) -> None:
    """A folder with parameters and, where a checkout has it, the environment's `activate`."""
    write_params(folder)
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").touch()


def drawn_data(folder: Path) -> None:
    write_params(folder)
    run("bash", "glamm synth my-data", folder)


def drawn_shards(folder: Path) -> None:
    drawn_data(folder)
    run("bash", "glamm data prepare my-data data/shards", folder)


def trained_model(folder: Path) -> None:
    """The model of the package, and an image."""
    shutil.copytree(EMBEDDED_MODEL, folder / "data/models/glamm-tiny")
    (folder / "street.jpg").write_bytes(jpeg((200, 240)))


FOLDERS: dict[str, Callable[[Path], None]] = {
    "tutorial/first-run.md": checkout,
    "how-to/ask.md": trained_model,
    "how-to/checkpoints.md": trained_model,
    "how-to/prepare-data.md": drawn_data,
    "how-to/query-annotations.md": drawn_shards,
    "how-to/train-with-lightning.md": drawn_shards,
}
"""What a reader of a page has before the first command."""

OWN_DATA = "how-to/own-data.md"


@pytest.mark.parametrize("page", FOLDERS)
def test_commands_of_a_page_run(page, tmp_path):
    FOLDERS[page](tmp_path)

    run_page(page_of(page), tmp_path)


@pytest.mark.parametrize("form", OWN)
def test_commands_for_own_data_run(form, tmp_path):
    """The page says: replace `labelme` by your form."""
    write_params(tmp_path)
    OWN[form](tmp_path / "my-data")
    (tmp_path / "my-data/kitchen.jpg").write_bytes(jpeg())

    run_page(page_of(OWN_DATA).replace("read labelme", f"read {form}"), tmp_path)

    assert (tmp_path / "answer.png").is_file()


def test_every_page_with_commands_to_run_is_run():
    pages = (ROOT / "docs").rglob("*.md")

    marked = {
        str(page.relative_to(ROOT / "docs")) for page in pages if BLOCK.search(page.read_text())
    }

    assert marked == {*FOLDERS, OWN_DATA}
