"""Reads what Weights & Biases records offline: one file a run, without a server.

The file is a header of seven bytes and a log in LevelDB's format: blocks of 32 KiB, in which records lie whole or in
pieces, each piece after a checksum (4 bytes), its length (2) and its kind (1), little-endian.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

from glamm.errors import DataError

_messages: Any = wandb_internal_pb2  # generated; type checkers see nothing in it

_MAGIC = b":W&B"
_HEADER_BYTES = 7
_BLOCK_BYTES = 1 << 15
_PIECE = struct.Struct("<IHB")
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class RecordedArtifact:
    """An artifact as it was recorded.

    Args:
        name: Without alias.
        kind: Such as model or run_table.
        metadata: What it is made of.
        files: Its files by the name inside it; where they lie on this machine, None for references.
    """

    name: str
    kind: str
    metadata: dict[str, Any]
    files: dict[str, Path | None]


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run as it was recorded.

    Args:
        id: Eight letters and digits.
        name: Shown in the list of runs.
        job: train or evaluate.
        config: Parameters.
        history: One dict a step, oldest first, without Weights & Biases' own columns but `_step`.
        summary: The final numbers.
        artifacts: Oldest first.
        exit_code: 0 when the run ended well, None when it did not come to an end.
    """

    id: str
    name: str
    job: str
    config: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    summary: dict[str, Any]
    artifacts: tuple[RecordedArtifact, ...]
    exit_code: int | None


def read_run(folder: Path) -> RecordedRun:
    """Read the record of one run.

    Args:
        folder: `offline-run-<time>-<id>`, as `Run.folder` names it.

    Raises:
        DataError: There is no record, or it is damaged. One that merely ends early is read as far as it goes.
    """
    paths = sorted(folder.glob("run-*.wandb"))
    if not paths:
        raise DataError("holds no W&B record", file=folder)
    head, history, summary, artifacts, exit_code = None, [], {}, [], None
    for content in _records(paths[0]):
        record = _messages.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            head = record.run
        elif kind == "history":
            history.append(_plain(record.history.item))
        elif kind == "summary":
            summary |= _plain(record.summary.update)
        elif kind == "artifact":
            artifacts.append(_artifact(record.artifact))
        elif kind == "exit":
            exit_code = record.exit.exit_code
    if head is None:
        raise DataError("is damaged: it does not say which run it is of", file=paths[0])
    return RecordedRun(
        id=head.run_id,
        name=head.display_name,
        job=head.job_type,
        config=_plain(head.config.update),
        history=tuple(history),
        summary=summary,
        artifacts=tuple(artifacts),
        exit_code=exit_code,
    )


def _plain(items: Any) -> dict[str, Any]:
    named = {(item.key or "/".join(item.nested_key)): item.value_json for item in items}
    return {
        name: json.loads(value)
        for name, value in named.items()
        if name == "_step" or not name.startswith("_")
    }


def _artifact(record: Any) -> RecordedArtifact:
    return RecordedArtifact(
        name=record.name,
        kind=record.type,
        metadata=json.loads(record.metadata or "{}"),
        files={
            entry.path: Path(entry.local_path) if entry.local_path else None
            for entry in record.manifest.contents
        },
    )


def _records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    if not data.startswith(_MAGIC):
        raise DataError("is no W&B record", file=path)
    parts: list[bytes] = []
    place = _HEADER_BYTES
    while place + _PIECE.size <= len(data):
        left = _BLOCK_BYTES - place % _BLOCK_BYTES
        if left < _PIECE.size:  # too little for a piece: zeros up to the next block
            place += left
            continue
        _, length, kind = _PIECE.unpack_from(data, place)
        place += _PIECE.size
        if kind not in {_WHOLE, _FIRST, _MIDDLE, _LAST} or length > left - _PIECE.size:
            raise DataError(f"is damaged at byte {place - _PIECE.size}", file=path)
        if place + length > len(data):
            return  # the run was killed while it wrote
        parts.append(data[place : place + length])
        place += length
        if kind in {_WHOLE, _LAST}:
            yield b"".join(parts)
            parts = []
