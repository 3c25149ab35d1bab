"""Turns data sets on disk into checked shards with a manifest; the folder appears whole or not at all."""

import hashlib
import json
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import Any, TextIO

from glamm.config.data import PrepareConfig
from glamm.data.check import Checked
from glamm.data.reading import checked
from glamm.data.records import Record, Rejection
from glamm.data.shards import ShardWriter
from glamm.data.sources.registry import Source, find_sources, get_source
from glamm.errors import DataError

SPLITS = ("train", "val", "test")
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.jsonl"

_CHUNK = 16  # records handed to a worker at once
_MIB = 1 << 20

Report = Callable[[Checked | Rejection], None]


@dataclass
class _Tally:
    """What went where."""

    pictures: Counter[tuple[str, str]] = field(default_factory=Counter)
    objects: Counter[tuple[str, str]] = field(default_factory=Counter)
    samples: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    records_left_out: Counter[str] = field(default_factory=Counter)
    parts_left_out: Counter[str] = field(default_factory=Counter)
    broken_files: list[Rejection] = field(default_factory=list)


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
        workers: Processes that check; the bytes do not depend on it.
        report: Told every record and everything left out, as it comes.

    Returns:
        The manifest.

    Raises:
        DataError: There is nothing to prepare, or a file that holds many records is broken; `out` stays as it was.
            A picture's own file that is broken is left out, and the error comes after `out` was replaced.
    """
    sources = _choose(root, config)
    restore(out)
    unfinished = _beside(out, "unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        tally = _write(root, unfinished, sources, config, workers=workers, report=report)
        manifest = _manifest(unfinished, config, sources, tally)
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
        (unfinished / MANIFEST).write_text(text + "\n", encoding="utf-8")
        _replace(unfinished, out)
    except OSError as error:
        error.filename = error.filename or str(out)  # a full disk does not say where it was met
        raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
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
    chosen = tuple(get_source(name) for name in sorted(set(config.sources))) or find_sources(root)
    missing = [source.name for source in chosen if not source.is_in(root)]
    if missing:
        raise DataError(
            f"does not hold {', '.join(missing)}, which prepare.sources asks for", file=root
        )
    if not chosen:
        raise DataError(
            "holds no data set in a layout that is known; see glamm data read --help", file=root
        )
    return chosen


def _write(
    root: Path,
    folder: Path,
    sources: tuple[Source, ...],
    config: PrepareConfig,
    *,
    workers: int,
    report: Report,
) -> _Tally:
    tally = _Tally()
    with (folder / QUARANTINE).open("w", encoding="utf-8") as quarantine, _Checker(workers) as run:
        for split in SPLITS:
            writer = ShardWriter(folder / split, shard_bytes=config.shard_mebibytes * _MIB)
            for source in sources:
                for item in run(source.read(root, split)):
                    report(item)
                    if isinstance(item, Checked):
                        writer.add(item.record.samples, item.picture)
                        _count(item.record, tally)
                    else:
                        _set_aside(item, source.name, quarantine, tally)
            if writer.num_rows:
                writer.close()
            else:
                shutil.rmtree(folder / split)
    if not tally.pictures:
        raise DataError(_nothing_left(tally), file=root)
    return tally


def _nothing_left(tally: _Tally) -> str:
    if tally.broken_files:
        first = tally.broken_files[0]
        return f"nothing could be read; first: {first.file} {first.reason}"
    return f"none of {sum(tally.records_left_out.values())} records can be trained; glamm data read says why"


def _count(record: Record, tally: _Tally) -> None:
    first = record.samples[0]
    tally.pictures[first.split, first.dataset] += 1
    tally.objects[first.split, first.dataset] += len(first.objects)
    for sample in record.samples:
        tally.samples[sample.split, sample.dataset, sample.task.value] += 1


def _set_aside(item: Rejection, source: str, quarantine: TextIO, tally: _Tally) -> None:
    quarantine.write(json.dumps({"source": source, **asdict(item)}, ensure_ascii=False) + "\n")
    (tally.records_left_out if item.is_whole else tally.parts_left_out)[source] += 1
    if item.is_file:
        tally.broken_files.append(item)


class _Checker:
    """Checks records here or in processes; results come in the order of the records."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
            if workers > 1
            else None
        )

    def __enter__(self) -> Callable[[Iterable[Record | Rejection]], Iterator[Checked | Rejection]]:
        return self._in_processes if self._pool else _check_here

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def _in_processes(self, items: Iterable[Record | Rejection]) -> Iterator[Checked | Rejection]:
        """Keep a few chunks under way, so that memory stays flat however long the data set is."""
        pool = self._pool
        assert pool is not None  # noqa: S101 - told by __enter__
        waiting: deque[Future[list[Checked | Rejection]]] = deque()
        for chunk in _chunks(items):
            waiting.append(pool.submit(_check_chunk, chunk))
            if len(waiting) > 2 * self._workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _check_here(items: Iterable[Record | Rejection]) -> Iterator[Checked | Rejection]:
    for item in items:
        yield from checked(item)


def _check_chunk(chunk: list[Record | Rejection]) -> list[Checked | Rejection]:
    return list(_check_here(chunk))


def _chunks(items: Iterable[Record | Rejection]) -> Iterator[list[Record | Rejection]]:
    chunk: list[Record | Rejection] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _start_worker() -> None:
    signal(SIGINT, SIG_IGN)  # the parent ends the run; children would only add noise


def _manifest(
    folder: Path, config: PrepareConfig, sources: tuple[Source, ...], tally: _Tally
) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for (split, dataset), pictures in sorted(tally.pictures.items()):
        samples = {
            task: number
            for (of_split, of_dataset, task), number in sorted(tally.samples.items())
            if (of_split, of_dataset) == (split, dataset)
        }
        counts.setdefault(split, {})[dataset] = {
            "pictures": pictures,
            "objects": tally.objects[split, dataset],
            "samples": samples,
        }
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "schema": 1,
        "parameters": config.model_dump(mode="json"),
        "sources": [source.name for source in sources],
        "counts": counts,
        "left_out": {
            "records": dict(sorted(tally.records_left_out.items())),
            "parts": dict(sorted(tally.parts_left_out.items())),
        },
        "files": {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": _sha256(path),
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
