"""Builds a Bento: the service's code, a model and its lineage, with a version that is a hash of the content."""

import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from glamm import __file__ as glamm_file
from glamm.config.package import PackageConfig
from glamm.errors import ConfigError, HostError
from glamm.files import replacing, scratch_folder
from glamm.serving.manifest import MANIFEST_FILE, Manifest, compose_manifest, content_version
from glamm.serving.model_location import DEFAULT_MODEL, DEFAULT_REPORTS, PACKED_MODEL
from glamm.serving.settings import SETTINGS_FILE, ServiceSettings
from glamm.subprocesses import run_supervised

BENTOFILE = "bentofile.yaml"
BENTO_HOME = Path(".bentoml")
"""BentoML's store, inside the project, so that projects do not share one."""

_DESCRIPTION = "glamm/serving/README.md"
_LAST_LINES = 15
_FAST_XZ = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 0,
        "dict_size": 4096,
        "mf": lzma.MF_HC3,
        "nice_len": 4,
        "depth": 1,
    }
]


@dataclass(frozen=True, slots=True)
class PackedBento:
    """A Bento that was built.

    Args:
        tag: name:version, for `bentoml serve` and `bentoml containerize`.
        path: The exported file.
        home: BENTOML_HOME of the store with the Bento.
        manifest: The model's lineage and the versions of what was packed.
    """

    tag: str
    path: Path
    home: Path
    manifest: Manifest


def package(
    model: Path, out: Path, config: PackageConfig, *, reports: Path, home: Path = BENTO_HOME
) -> PackedBento:
    """Build a Bento and export it.

    The files are copied to a new folder and built there by `bentoml build`, so that code that is not packed cannot be
    imported by accident.

    Args:
        model: A model folder.
        out: The file to write, such as build/glamm.bento; it is written whole or not at all.
        config: Name and labels.
        reports: The folder of <name>/report.json of evaluations; may be missing.
        home: BENTOML_HOME of the store to build in.

    Raises:
        CheckpointError: The model folder is damaged.
        ConfigError: bentofile.yaml is missing or broken.
        HostError: BentoML failed; the message contains the end of its output.
    """
    from glamm.checkpoints import load_model  # noqa: PLC0415 - the lineage of a packed model needs no torch

    load_model(model)  # a damaged model must not be packed
    source = find_source()
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with scratch_folder("context-", parent=home) as context:
        _copy_context(source, model, context, config)
        version = content_version(context, _files(context))
        manifest = compose_manifest(model, reports=reports, source=source, version=version)
        (context / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
        tag = f"{config.name}:{version}"
        if (home / "bentos" / config.name / version).exists():
            run_bentoml("delete", "--yes", tag, home=home, folder=context)
        # Without this option BentoML searches for the file itself, and refuses paths with a hidden folder.
        bentofile = str(context / BENTOFILE)
        run_bentoml(
            "build", "--bentofile", bentofile, "--version", version, home=home, folder=context
        )
    return PackedBento(tag=tag, path=_export(tag, out, home), home=home, manifest=manifest)


def find_code() -> Path:
    """The folder of the code to serve: the working directory if it is a checkout, else where glamm is installed."""
    here = Path.cwd()
    is_checkout = (here / BENTOFILE).exists() and (here / "glamm").is_dir()
    return here if is_checkout else Path(glamm_file).parents[1]


def find_source() -> Path:
    """The checkout to pack: the working directory if it is one, else the one that glamm was installed from.

    Raises:
        ConfigError: Neither has a bentofile.yaml.
    """
    folder = find_code()
    if not (folder / BENTOFILE).exists():
        raise ConfigError(f"no {BENTOFILE} here: run this in a checkout of the project")
    return folder


def packed_code(source: Path) -> list[Path]:
    """The files that bentofile.yaml includes, relative to the checkout, without model and reports."""
    not_code = (DEFAULT_MODEL, DEFAULT_REPORTS)
    patterns: list[str] = _read_bentofile(source)["include"]
    code = [item for item in patterns if not any(Path(item).is_relative_to(p) for p in not_code)]
    return sorted(
        {
            path.relative_to(source)
            for pattern in code
            for path in source.glob(pattern)
            if path.is_file()
        }
    )


def run_bentoml(*arguments: str, home: Path, folder: Path) -> None:
    """Run a BentoML command in a folder.

    Raises:
        HostError: It failed.
    """
    command = [sys.executable, "-m", "bentoml", *arguments]
    with scratch_folder(
        "glamm-bentoml-"
    ) as temporary:  # what BentoML leaves there when it is ended
        done = run_supervised(
            command,
            cwd=folder,
            env={**bentoml_environment(home), "TMPDIR": str(temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        output = done.stdout.decode(errors="replace").strip()
        lines = "\n".join(output.splitlines()[-_LAST_LINES:])
        raise HostError(f"`bentoml {' '.join(arguments)}` failed:\n{lines}")


def bentoml_environment(home: Path) -> dict[str, str]:
    """Environment of a BentoML process: this store, no telemetry, and no code from PYTHONPATH."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return inherited | {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONUNBUFFERED": "1",
    }


def _read_bentofile(source: Path) -> dict[str, Any]:
    path = source / BENTOFILE
    try:
        content: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict) or "include" not in content:
        raise ConfigError(f"{path}: has no list 'include'")
    return cast("dict[str, Any]", content)


def _copy_context(source: Path, model: Path, context: Path, config: PackageConfig) -> None:
    """Copy code and model to the build folder; write the settings, and a bentofile that packs all of it."""
    for relative in packed_code(source):
        (context / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / relative, context / relative)
    shutil.copytree(model, context / PACKED_MODEL, copy_function=_link_or_copy)
    settings = ServiceSettings(device=config.device, dtype=config.dtype)
    (context / SETTINGS_FILE).write_text(settings.model_dump_json(indent=2), encoding="utf-8")
    bentofile = _read_bentofile(source)
    bentofile["name"] = config.name
    bentofile["labels"] = {**bentofile.get("labels", {}), **config.labels}
    bentofile["description"] = (context / _DESCRIPTION).read_text(encoding="utf-8")
    bentofile["include"] = ["*"]
    bentofile["exclude"] = [BENTOFILE]
    (context / BENTOFILE).write_text(yaml.safe_dump(bentofile), encoding="utf-8")


def _link_or_copy(source: str, target: str) -> None:
    """Hard-link a file, because weights have gigabytes; copy it where the file system cannot."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _export(tag: str, out: Path, home: Path) -> Path:
    """Write what `bentoml export` writes, six times as fast: weights hardly compress, so the fastest xz is enough."""
    name, _, version = tag.partition(":")
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(out) as unfinished,
        lzma.open(unfinished, "wb", filters=_FAST_XZ) as stream,
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        archive.add(home / "bentos" / name / version, ".", filter=_without_owner)
    return out


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
