"""Turns data sets into checked shards with a manifest; the output folder appears whole or not at all.

The shards are written block by block into a folder beside the output folder. An interrupted run leaves its finished
blocks there, and the next run continues with them. Blocks of the last finished run that have not changed are kept
too, so that only what changed is made again.
"""

import json
import logging
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from glamm.config.data import PrepareConfig
from glamm.data.preparation.incremental import (
    BLOCKS_FOLDER,
    IMAGES_PER_BLOCK,
    Block,
    make_block,
    split_blocks,
)
from glamm.data.readers.registry import Reader, find_readers, get_reader, no_data_set
from glamm.data.shards.writer import INDEX_FILE, IndexWriter
from glamm.errors import DataError
from glamm.files import sha256
from glamm.process_pool import OrderedMap, worker_pool
from glamm.structures.issue import Issue, Severity
from glamm.structures.manifest import (
    MANIFEST_FILE,
    SPLITS,
    BlockEntry,
    DatasetCounts,
    FileEntry,
    LeftOut,
    PrepareManifest,
)

QUARANTINE_FILE = "quarantine.jsonl"

_MIB = 1 << 20

logger = logging.getLogger(__name__)


@dataclass
class _Totals:
    """What all blocks so far hold, and what was left out."""

    counts: dict[str, dict[str, DatasetCounts]] = field(default_factory=lambda: defaultdict(dict))
    blocks: dict[str, list[BlockEntry]] = field(default_factory=lambda: defaultdict(list))
    checksums: dict[str, str] = field(default_factory=dict)
    records_left_out: Counter[str] = field(default_factory=Counter)
    parts_left_out: Counter[str] = field(default_factory=Counter)
    broken_files: list[Issue] = field(default_factory=list)

    def add(self, block: Block, split: str) -> None:
        """Add a block of a split."""
        dataset, shards = block.dataset, block.content.shards
        if block.counts.images:
            counts = self.counts[split]
            counts[dataset] = counts.get(dataset, DatasetCounts()) + block.counts
        files = tuple(shard.filename for shard in shards)
        entry = BlockEntry(fingerprint=block.fingerprint, dataset=dataset, files=files)
        self.blocks[split].append(entry)
        self.checksums |= {f"{split}/{shard.filename}": shard.sha256 for shard in shards}
        for issue in block.issues:
            is_part = issue.severity is Severity.PART
            if issue.is_loss:
                (self.parts_left_out if is_part else self.records_left_out)[dataset] += 1
            if issue.severity is Severity.FILE:
                self.broken_files.append(issue)


def prepare(
    root: Path,
    out: Path,
    config: PrepareConfig,
    *,
    workers: int = 1,
    images_per_block: int = IMAGES_PER_BLOCK,
    on_block: Callable[[Block], None] = lambda _: None,
) -> PrepareManifest:
    """Check every data set below a folder and write shards.

    Args:
        root: Holds data sets in official layouts.
        out: Gets train/, val/, test/, manifest.json and quarantine.jsonl; replaced as a whole at the end.
        config: Which data sets, and the size of shards.
        workers: Processes that check and write; the shards do not depend on it.
        images_per_block: On average; another number makes most blocks again.
        on_block: Called with every block, in the order of the records.

    Returns:
        The content of manifest.json.

    Raises:
        DataError: There is nothing to prepare, or a file with many records is broken; `out` stays as it was. If a file
            with one record is broken, it is left out, and the error is raised after `out` was replaced.
    """
    readers = _choose_readers(root, config)
    restore(out)
    _warn_if_outdated(out)
    unfinished = _sibling_path(out, "unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    totals = _Totals()
    try:
        with (
            (unfinished / QUARANTINE_FILE).open("w", encoding="utf-8") as quarantine,
            worker_pool(workers) as ordered_map,
        ):
            make_blocks = partial(
                _make_blocks,
                root,
                readers,
                shard_bytes=config.shard_mebibytes * _MIB,
                images_per_block=images_per_block,
                ordered_map=ordered_map,
            )
            for split in SPLITS:
                index = IndexWriter(unfinished / split, shard_bytes=config.shard_mebibytes * _MIB)
                for block in make_blocks(split, unfinished / split, out / split):
                    index.add(block.content)
                    totals.add(block, split)
                    quarantine.writelines(_quarantine_lines(block))
                    on_block(block)
                if index.num_images:
                    index.close()
                else:
                    shutil.rmtree(unfinished / split)
                    totals.blocks.pop(split, None)
        if not totals.counts:
            raise DataError(_nothing_left(totals), file=root)
        _remove_stale_files(unfinished, totals.blocks)
        manifest = _manifest(unfinished, config, readers, totals)
        manifest.save(unfinished / MANIFEST_FILE)
        _replace(out, unfinished)
    except OSError as error:
        error.filename = error.filename or str(out)  # "no space left on device" names no file
        raise
    if totals.broken_files:
        first = totals.broken_files[0]
        raise DataError(
            f"{first.reason}. {len(totals.broken_files)} file(s) are broken: repair or remove them; "
            f"all other data is in {out}, and {out / QUARANTINE_FILE} lists every issue",
            file=first.location.file,
        )
    return manifest


def restore(out: Path) -> None:
    """Restore the former output if a run was killed after it was moved away and before the new one was in place."""
    former = _sibling_path(out, "former")
    if former.exists() and not out.exists():
        former.rename(out)
    shutil.rmtree(former, ignore_errors=True)


def _choose_readers(root: Path, config: PrepareConfig) -> tuple[Reader, ...]:
    if not root.is_dir():
        raise DataError("is no folder: name the one that holds the data sets", file=root)
    chosen = tuple(get_reader(name) for name in sorted(set(config.datasets))) or find_readers(root)
    missing = [reader.name for reader in chosen if not reader.exists_in(root)]
    if missing:
        reason = f"does not hold {', '.join(missing)}, which prepare.datasets names"
        raise DataError(f"{reason}: it {no_data_set(root, missing).reason}", file=root)
    if not chosen:
        raise no_data_set(root)
    return chosen


def _warn_if_outdated(out: Path) -> None:
    """Log why blocks of a former run are made again although the data has not changed."""
    path = out / MANIFEST_FILE
    if not path.exists():
        return
    try:
        PrepareManifest.load(path)
    except DataError:
        logger.warning(
            "%s was written by another version of glamm or is damaged: blocks that this version "
            "cannot read are prepared again",
            path,
        )


def _make_blocks(
    root: Path,
    readers: Sequence[Reader],
    split: str,
    folder: Path,
    former: Path,
    *,
    shard_bytes: int,
    images_per_block: int,
    ordered_map: OrderedMap,
) -> Iterator[Block]:
    """Make the blocks of one split: those of one data set after another."""
    folder.mkdir(exist_ok=True)
    for reader in readers:
        make = partial(
            make_block,
            dataset=reader.name,
            folder=folder,
            former=former,
            shard_bytes=shard_bytes,
        )
        items = split_blocks(reader.read(root, split), images_per_block=images_per_block)
        yield from ordered_map(make, items)


def _nothing_left(totals: _Totals) -> str:
    if totals.broken_files:
        first = totals.broken_files[0]
        return f"nothing could be read; first: {first.location.file} {first.reason}"
    num_records = sum(totals.records_left_out.values())
    return f"none of {num_records} records can be trained; glamm data read lists the issues"


def _quarantine_lines(block: Block) -> Iterator[str]:
    for issue in block.issues:
        entry = {
            "dataset": block.dataset,
            **asdict(issue.location),
            "severity": issue.severity,
            "kind": issue.kind,
            "reason": issue.reason,
        }
        yield json.dumps(entry, ensure_ascii=False) + "\n"


def _remove_stale_files(folder: Path, blocks: Mapping[str, Sequence[BlockEntry]]) -> None:
    """Remove files that an interrupted run wrote for records that have changed since."""
    _remove_files(folder, keep={QUARANTINE_FILE})
    for split, entries in blocks.items():
        shards = {name for entry in entries for name in entry.files}
        _remove_files(folder / split, keep={INDEX_FILE, *shards})
        descriptions = {f"{entry.fingerprint}.json" for entry in entries}
        _remove_files(folder / split / BLOCKS_FOLDER, keep=descriptions)


def _remove_files(folder: Path, *, keep: Set[str]) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name not in keep:
            path.unlink()


def _manifest(
    folder: Path, config: PrepareConfig, readers: Sequence[Reader], totals: _Totals
) -> PrepareManifest:
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_FILE
    }
    return PrepareManifest(
        parameters=config,
        datasets=tuple(reader.name for reader in readers),
        counts={split: dict(sorted(counts.items())) for split, counts in totals.counts.items()},
        blocks={split: tuple(blocks) for split, blocks in totals.blocks.items()},
        left_out=LeftOut(
            records=dict(sorted(totals.records_left_out.items())),
            parts=dict(sorted(totals.parts_left_out.items())),
        ),
        files={
            name: FileEntry(
                num_bytes=path.stat().st_size, sha256=totals.checksums.get(name) or sha256(path)
            )
            for name, path in files.items()
        },
    )


def _sibling_path(out: Path, name: str) -> Path:
    return out.with_name(f".{out.name}.{name}")


def _replace(out: Path, new: Path) -> None:
    former = _sibling_path(out, "former")
    if out.exists():
        out.rename(former)
    new.rename(out)
    shutil.rmtree(former, ignore_errors=True)
