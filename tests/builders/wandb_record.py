"""Reads the offline record of a Weights & Biases run: one file, without a server.

The file has a header of seven bytes, then a log in LevelDB's format: blocks of 32 KiB with records, whole or in pieces.
Before each piece are a checksum (4 bytes), its length (2) and its kind (1), little-endian.
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
        metadata: As it was logged.
        files: Paths of its files by their names in the artifact; None for references.
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
        name: Name in the list of runs.
        job: train or evaluate.
        config: Parameters.
        history: One dict per step, oldest first; of the columns that Weights & Biases adds, only `_step`.
        summary: The final metrics.
        artifacts: Oldest first.
        exit_code: 0 for success; None if the run has not ended.
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
        DataError: There is no record, or it is damaged. A record that ends early is no error.
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
        raise DataError("is damaged: it has no run", file=paths[0])
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
    position = _HEADER_BYTES
    while position + _PIECE.size <= len(data):
        left = _BLOCK_BYTES - position % _BLOCK_BYTES
        if left < _PIECE.size:  # too little for a piece: zeros up to the next block
            position += left
            continue
        _, length, kind = _PIECE.unpack_from(data, position)
        position += _PIECE.size
        if kind not in {_WHOLE, _FIRST, _MIDDLE, _LAST} or length > left - _PIECE.size:
            raise DataError(f"is damaged at byte {position - _PIECE.size}", file=path)
        if position + length > len(data):
            return  # the run was killed while it wrote
        parts.append(data[position : position + length])
        position += length
        if kind in {_WHOLE, _LAST}:
            yield b"".join(parts)
            parts = []
