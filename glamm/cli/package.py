"""`glamm package`: a Bento with a model and its lineage inside, and a check that it answers."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from glamm.config.dtype import DTypeName
from glamm.config.package import PackageConfig
from glamm.config.section import load_section
from glamm.serving.bento_build import package as build_bento

app = App(name="package", help="Build a Bento of a model, and check that it answers.")
app.command(
    "glamm.cli.package_smoke:smoke",
    name="smoke",
    help="Start a Bento from nothing but its file and send it an image.",
)


@app.default
def package(
    model: Path,
    out: Path = Path("build/glamm.bento"),
    *,
    reports: Path = Path("data/reports"),
    device: str | None = None,
    dtype: DTypeName | None = None,
    params: Path | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=())] = (),
) -> None:
    """Pack the service, a model and its lineage into one file.

    Args:
        model: A model folder, such as data/models/glamm-tiny.
        out: The file to write.
        reports: Holds <name>/report.json of evaluations of this model; they go into the manifest.
        device: Where the packed service runs its model: auto, cpu, cuda or cuda:1. Short for `--set package.device=...`.
        dtype: Type in which the packed service holds the weights. Short for `--set package.dtype=...`.
        params: A params file; `params.yaml` of the working directory unless given.
        set_: `package.key=value`, any number of times.
    """
    overrides = [*set_]
    overrides += [f"package.device={json.dumps(device)}"] if device else []
    overrides += [f"package.dtype={dtype}"] if dtype else []
    config = load_section("package", PackageConfig, params, overrides)
    packed = build_bento(model, out, config, reports=reports)
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
    size = packed.path.stat().st_size / 2**20
    console.print(f"{packed.tag} in {packed.path} ({size:.1f} MiB)")
    console.print(
        f"BENTOML_HOME={packed.home} bentoml serve {packed.tag}   or: bentoml containerize {packed.tag}"
    )
