"""Builds a Bento: the service's code, one model and its past, under a version made of the content."""

import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from glamm import __file__ as glamm_file
from glamm.config.package import PackageConfig
from glamm.errors import ConfigError, HostError
from glamm.serving.manifest import MANIFEST_FILE, Manifest, compose_manifest, content_version
from glamm.serving.model_location import DEFAULT_MODEL, DEFAULT_REPORTS, PACKED_MODEL

BENTOFILE = "bentofile.yaml"
BENTO_HOME = Path(".bentoml")
"""BentoML's store, in the project so that projects do not meet."""

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
        tag: name:version, as `bentoml serve` and `bentoml containerize` take it.
        path: The exported file.
        home: BENTOML_HOME of the store that holds it.
        manifest: What is inside.
    """

    tag: str
    path: Path
    home: Path
    manifest: Manifest


def package(
    model: Path, out: Path, config: PackageConfig, *, reports: Path, home: Path = BENTO_HOME
) -> PackedBento:
    """Build a Bento and export it.

    The files are gathered in a folder of their own and built there by `bentoml build`, so that code which is not
    packed cannot be imported by accident.

    Args:
        model: A model folder.
        out: The file to write, such as build/glamm.bento; appears whole or not at all.
        config: Name and labels.
        reports: Holds <name>/report.json of evaluations; may be missing.
        home: BENTOML_HOME.

    Raises:
        CheckpointError: The model folder is damaged.
        ConfigError: bentofile.yaml is missing or broken.
        HostError: BentoML failed; the message has its last lines.
    """
    from glamm.checkpoints import load_model  # noqa: PLC0415 - the lineage of a packed model needs no torch

    load_model(model)  # a damaged model must not be packed
    source = find_source()
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="context-", dir=home) as folder:
        context = Path(folder)
        _gather(source, model, context, config)
        version = content_version(context, _files(context))
        manifest = compose_manifest(model, reports=reports, source=source, version=version)
        (context / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
        tag = f"{config.name}:{version}"
        if (home / "bentos" / config.name / version).exists():
            run_bentoml("delete", "--yes", tag, home=home, folder=context)
        # Without a name BentoML looks for the file itself, and refuses paths with a hidden folder in them.
        bentofile = str(context / BENTOFILE)
        run_bentoml(
            "build", "--bentofile", bentofile, "--version", version, home=home, folder=context
        )
    return PackedBento(tag=tag, path=_export(tag, out, home), home=home, manifest=manifest)


def find_source() -> Path:
    """The checkout to pack: the working directory if it is one, else the one that glamm was installed from.

    Raises:
        ConfigError: Neither has a bentofile.yaml.
    """
    for folder in (Path.cwd(), Path(glamm_file).parents[1]):
        if (folder / BENTOFILE).exists() and (folder / "glamm").is_dir():
            return folder
    raise ConfigError(f"no {BENTOFILE} here: run this in a checkout of the project")


def packed_code(source: Path) -> list[Path]:
    """The files that bentofile.yaml includes, relative to the checkout, without model and reports."""
    places = (DEFAULT_MODEL, DEFAULT_REPORTS)
    patterns: list[str] = _read_bentofile(source)["include"]
    code = [item for item in patterns if not any(Path(item).is_relative_to(p) for p in places)]
    return sorted(
        {
            path.relative_to(source)
            for pattern in code
            for path in source.glob(pattern)
            if path.is_file()
        }
    )


def run_bentoml(*arguments: str, home: Path, folder: Path) -> None:
    """Run a command of BentoML's in a folder.

    Raises:
        HostError: It failed.
    """
    command = [sys.executable, "-m", "bentoml", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=bentoml_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = "\n".join(done.stdout.strip().splitlines()[-_LAST_LINES:])
        raise HostError(f"`bentoml {' '.join(arguments)}` failed:\n{lines}")


def bentoml_environment(home: Path) -> dict[str, str]:
    """Environment for a process of BentoML's: our store, no telemetry, and no other code than the folder's."""
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


def _gather(source: Path, model: Path, context: Path, config: PackageConfig) -> None:
    """Copy code and model, and write the bentofile that packs all of it."""
    for relative in packed_code(source):
        (context / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / relative, context / relative)
    shutil.copytree(model, context / PACKED_MODEL, copy_function=_link_or_copy)
    bentofile = _read_bentofile(source)
    bentofile["name"] = config.name
    bentofile["labels"] = {**bentofile.get("labels", {}), **config.labels}
    bentofile["description"] = (context / _DESCRIPTION).read_text(encoding="utf-8")
    bentofile["include"] = ["*"]
    bentofile["exclude"] = [BENTOFILE]
    (context / BENTOFILE).write_text(yaml.safe_dump(bentofile), encoding="utf-8")


def _link_or_copy(source: str, target: str) -> None:
    """Gigabytes of weights are linked where the file system can."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _export(tag: str, out: Path, home: Path) -> Path:
    """Write what `bentoml export` writes, six times as fast: weights hardly shrink, so xz need not try hard."""
    name, _, version = tag.partition(":")
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    try:
        with (
            lzma.open(part, "wb", filters=_FAST_XZ) as stream,
            tarfile.open(fileobj=stream, mode="w") as archive,
        ):
            archive.add(home / "bentos" / name / version, ".", filter=_without_owner)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return out


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
