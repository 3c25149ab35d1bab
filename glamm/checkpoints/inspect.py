"""Describe a model folder, or verify that it is complete."""

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from glamm.checkpoints.probe import probe
from glamm.checkpoints.store import WEIGHTS_FILE, load_model, read_config, read_lineage
from glamm.checkpoints.tensor_file import read_header
from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError
from glamm.progress import NO_PROGRESS, Progress
from glamm.structures.lineage import Lineage


@dataclass(frozen=True, slots=True)
class PartSize:
    """The size of one part of a model.

    Args:
        name: The model's attribute, such as `language_model`.
        num_tensors: In the weight file.
        num_parameters: Elements of these tensors.
        dtype: Of the first tensor.
    """

    name: str
    num_tensors: int
    num_parameters: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Description:
    """A description of a model folder, without loading the model.

    Args:
        config: Sizes and switches.
        parts: In the order of the weight file.
        sha256: Checksum of the weight file that config.json records.
        lineage: What the model was made from.
    """

    config: ModelConfig
    parts: tuple[PartSize, ...]
    sha256: str
    lineage: Lineage


def describe(folder: Path) -> Description:
    """Read names and shapes of tensors, the configuration and the lineage.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    stored = read_config(folder)
    tensors: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, tensor in read_header(folder / WEIGHTS_FILE).items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        tensors[name.partition(".")[0]].append((math.prod(tensor.shape), dtype))
    parts = tuple(
        PartSize(name, len(sizes), sum(size for size, _ in sizes), sizes[0][1])
        for name, sizes in tensors.items()
    )
    return Description(stored.model, parts, stored.weights_sha256, read_lineage(folder))


def verify(folder: Path, *, progress: Progress = NO_PROGRESS) -> None:
    """Check checksums, names and shapes, and run every part once, in the type of the weights.

    Args:
        folder: A model folder.
        progress: Advanced by the bytes that are read.

    Raises:
        CheckpointError: A check failed.
    """
    progress.describe("reading")
    model, _ = load_model(folder, progress=progress)
    progress.describe("running every part")
    for name, value in probe(model).items():
        if not value.isfinite().all():
            raise CheckpointError(
                f"{folder}: the {name} of a probe contain values that are not finite"
            )
    read_lineage(folder)
