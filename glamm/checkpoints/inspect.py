"""Look at a model folder, or check it."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from glamm.checkpoints.convert import probe
from glamm.checkpoints.store import WEIGHTS_FILE, load_model, read_config, read_lineage
from glamm.checkpoints.weight_files import open_weights
from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError
from glamm.structures.lineage import Lineage


@dataclass(frozen=True, slots=True)
class PartSize:
    """One part of a model.

    Args:
        name: As the model calls it.
        num_tensors: In the file.
        num_parameters: Their elements.
        dtype: Of the first.
    """

    name: str
    num_tensors: int
    num_parameters: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Description:
    """What a model folder says about itself.

    Args:
        config: Sizes and switches.
        parts: In the order of the file.
        sha256: Of the weights, as config.json has it.
        lineage: Where it comes from.
    """

    config: ModelConfig
    parts: tuple[PartSize, ...]
    sha256: str
    lineage: Lineage


def describe(folder: Path) -> Description:
    """Read names, shapes and the past.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    stored = read_config(folder)
    tensors: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, tensor in open_weights(folder / WEIGHTS_FILE).tensors():
        dtype = str(tensor.dtype).removeprefix("torch.")
        tensors[name.partition(".")[0]].append((tensor.numel(), dtype))
    parts = tuple(
        PartSize(name, len(found), sum(size for size, _ in found), found[0][1])
        for name, found in tensors.items()
    )
    return Description(stored.model, parts, stored.weights_sha256, read_lineage(folder))


def verify(folder: Path) -> None:
    """Check sums, names and shapes, and run every part.

    Raises:
        CheckpointError: Something is not as it should be.
    """
    model, _ = load_model(folder)
    for name, value in probe(model.float()).items():
        if not value.isfinite().all():
            raise CheckpointError(f"{folder}: the {name} of a probe are not all finite numbers")
    read_lineage(folder)
