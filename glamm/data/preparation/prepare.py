"""Turns data sets on disk into checked shards with a manifest; the folder appears whole or not at all.

The work goes on in a folder beside it, block by block. A run that was ended, killed or broke off leaves there what
was finished, and the next one takes it over, as it takes over from the former shards every block that is still the
same: what is done again is what changed.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from glamm.config.data import PrepareConfig
from glamm.data.preparation.incremental import BLOCKS, Block, cut, make_block
from glamm.data.readers.registry import Source, find_sources, get_source
from glamm.data.record import Rejection
from glamm.data.shards.writer import IndexWriter
from glamm.errors import DataError
from glamm.subprocesses import worker_pool

SPLITS = ("train", "val", "test")
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.jsonl"

_MIB = 1 << 20

Report = Callable[[Block], None]


@dataclass
class _Tally:
    """What went where."""

    images: Counter[tuple[str, ...]] = field(default_factory=Counter)
    objects: Counter[tuple[str, ...]] = field(default_factory=Counter)
    samples: Counter[tuple[str, ...]] = field(default_factory=Counter)
    records_left_out: Counter[str] = field(default_factory=Counter)
    parts_left_out: Counter[str] = field(default_factory=Counter)
    broken_files: list[Rejection] = field(default_factory=list)
    shards: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)


def prepare(
    root: Path,
    out: Path,
    config: PrepareConfig,
    *,
    workers: int = 1,
    report: Report = lambda _: None,
) -> dict[str, Any]:
    """Check every data set below a folder and write shards.

    Args:
        root: Holds data sets in official layouts.
        out: Gets train/, val/, test/, manifest.json and quarantine.jsonl; replaced as a whole when all is done.
        config: Which data sets, and the size of shards.
        workers: Processes that check and write; the bytes do not depend on it.
        report: Told every block, in the order of the records.

    Returns:
        The manifest.

    Raises:
        DataError: There is nothing to prepare, or a file that holds many records is broken; `out` stays as it was.
            An image's own file that is broken is left out, and the error comes after `out` was replaced.
    """
    sources = _choose(root, config)
    restore(out)
    unfinished = _beside(out, "unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        tally = _write(root, unfinished, out, sources, config, workers=workers, report=report)
        _remove_others(unfinished, tally)
        manifest = _manifest(unfinished, config, sources, tally)
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
        (unfinished / MANIFEST).write_text(text + "\n", encoding="utf-8")
        _replace(unfinished, out)
    except OSError as error:
        error.filename = error.filename or str(out)  # a full disk does not say where it was met
        raise
    if tally.broken_files:
        first = tally.broken_files[0]
        raise DataError(
            f"{first.reason}. {len(tally.broken_files)} file(s) are broken: repair or remove them; "
            f"everything else is in {out}, the list in {out / QUARANTINE}",
            file=first.file,
        )
    return manifest


def restore(out: Path) -> None:
    """Put the former shards back if a run was killed in the moment between taking them away and the new ones."""
    former = _beside(out, "former")
    if former.exists() and not out.exists():
        former.rename(out)
    shutil.rmtree(former, ignore_errors=True)


def _choose(root: Path, config: PrepareConfig) -> tuple[Source, ...]:
    if not root.is_dir():
        raise DataError("is no folder: name the one that holds the data sets", file=root)
    chosen = tuple(get_source(name) for name in sorted(set(config.datasets))) or find_sources(root)
    missing = [source.name for source in chosen if not source.is_in(root)]
    if missing:
        raise DataError(
            f"does not hold {', '.join(missing)}, which prepare.datasets asks for", file=root
        )
    if not chosen:
        raise DataError(
            "holds no data set in a layout that is known; see glamm data read --help", file=root
        )
    return chosen


def _write(
    root: Path,
    folder: Path,
    former: Path,
    sources: tuple[Source, ...],
    config: PrepareConfig,
    *,
    workers: int,
    report: Report,
) -> _Tally:
    tally = _Tally()
    shard_bytes = config.shard_mebibytes * _MIB
    with (
        (folder / QUARANTINE).open("w", encoding="utf-8") as quarantine,
        worker_pool(workers) as run,
    ):
        for split in SPLITS:
            (folder / split).mkdir(exist_ok=True)
            index = IndexWriter(folder / split, shard_bytes=shard_bytes)
            for source in sources:
                make = partial(
                    make_block,
                    source=source.name,
                    folder=folder / split,
                    former=former / split,
                    shard_bytes=shard_bytes,
                )
                for block in run(make, cut(source.read(root, split))):
                    index.add(block.part)
                    _count(block, split, quarantine, tally)
                    report(block)
            if index.num_rows:
                index.close()
            else:
                shutil.rmtree(folder / split)
                tally.shards.pop(split, None)
    if not tally.images:
        raise DataError(_nothing_left(tally), file=root)
    return tally


def _nothing_left(tally: _Tally) -> str:
    if tally.broken_files:
        first = tally.broken_files[0]
        return f"nothing could be read; first: {first.file} {first.reason}"
    return f"none of {sum(tally.records_left_out.values())} records can be trained; glamm data read says why"


def _count(block: Block, split: str, quarantine: TextIO, tally: _Tally) -> None:
    tally.images.update(block.images)
    tally.objects.update(block.objects)
    tally.samples.update(block.samples)
    files = [chunk.filename for chunk in block.part.chunks]
    told = {"fingerprint": block.fingerprint, "source": block.source, "files": files}
    tally.shards.setdefault(split, []).append(told)
    for chunk in block.part.chunks:
        tally.checksums[f"{split}/{chunk.filename}"] = chunk.sha256
    for item in block.rejections:
        line = {"source": block.source, **asdict(item)}
        quarantine.write(json.dumps(line, ensure_ascii=False) + "\n")
        (tally.records_left_out if item.is_whole else tally.parts_left_out)[block.source] += 1
        if item.is_file:
            tally.broken_files.append(item)


def _remove_others(folder: Path, tally: _Tally) -> None:
    """Remove what a run that was broken off made of records that have changed since."""
    for split, blocks in tally.shards.items():
        known = {name for block in blocks for name in block["files"]}
        known |= {f"{block['fingerprint']}.json" for block in blocks}
        for path in (*(folder / split).glob("chunk-*"), *(folder / split / BLOCKS).iterdir()):
            if path.name not in known:
                path.unlink()


def _manifest(
    folder: Path, config: PrepareConfig, sources: tuple[Source, ...], tally: _Tally
) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for (split, dataset), images in sorted(tally.images.items()):
        samples = {
            task: number
            for (of_split, of_dataset, task), number in sorted(tally.samples.items())
            if (of_split, of_dataset) == (split, dataset)
        }
        counts.setdefault(split, {})[dataset] = {
            "images": images,
            "objects": tally.objects[split, dataset],
            "samples": samples,
        }
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    names = {path: path.relative_to(folder).as_posix() for path in files}
    return {
        "schema": 1,
        "parameters": config.model_dump(mode="json"),
        "sources": [source.name for source in sources],
        "counts": counts,
        "shards": tally.shards,
        "left_out": {
            "records": dict(sorted(tally.records_left_out.items())),
            "parts": dict(sorted(tally.parts_left_out.items())),
        },
        "files": {
            names[path]: {
                "bytes": path.stat().st_size,
                "sha256": tally.checksums.get(names[path]) or _sha256(path),
            }
            for path in files
        },
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(out: Path, name: str) -> Path:
    return out.with_name(f".{out.name}.{name}")


def _replace(new: Path, out: Path) -> None:
    former = _beside(out, "former")
    if out.exists():
        out.rename(former)
    new.rename(out)
    shutil.rmtree(former, ignore_errors=True)
