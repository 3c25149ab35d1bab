"""Put the tensors of weight files in the place of a model's parameters, one after another.

Everything that can be refused is refused before the first tensor is read: names, shapes and types are known from headers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from glamm.checkpoints.name_maps.lora import split_lora
from glamm.checkpoints.tensor_file import StoredTensor, most_common_dtype
from glamm.checkpoints.weight_files import LoadedWeights, WeightFiles
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from glamm.models.glamm.new_parts import NEW_PARTS
from glamm.progress import NO_PROGRESS, Progress

_VOCABULARY = ("embed_tokens.weight", "lm_head.weight")
"""Tensors with one row for each token."""

_MAX_NAMES_IN_MESSAGE = 20


@dataclass(frozen=True, slots=True)
class Part:
    """Weight files, and the translation of their names into ours; names that become None are skipped."""

    files: WeightFiles | LoadedWeights
    translate: Callable[[str], str | None]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor under our name."""
        for theirs, tensor in self.files.tensors():
            name = self._named(theirs)
            if name is not None:
                yield name, tensor

    def headers(self) -> dict[str, StoredTensor]:
        """Types and shapes under our names."""
        named = ((self._named(theirs), stored) for theirs, stored in self.files.headers().items())
        return {name: stored for name, stored in named if name is not None}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes under our names."""
        return {name: stored.shape for name, stored in self.headers().items()}

    def _named(self, theirs: str) -> str | None:
        try:
            return self.translate(theirs)
        except CheckpointError as error:
            raise CheckpointError(f"{self.files.source}: {error}") from error


def stored_dtype(part: Part) -> torch.dtype:
    """The floating-point type that most weights have.

    Raises:
        CheckpointError: There is none.
    """
    dtype = most_common_dtype(part.headers())
    if dtype is None:
        raise CheckpointError(f"{part.files.source}: contains no floating-point tensors")
    return dtype


def check_tensors(model: GLaMM, parts: Sequence[Part]) -> list[str]:
    """Check that the tensors of all parts fit a model.

    Returns:
        Names of the model's tensors that no part has.

    Raises:
        CheckpointError: A tensor is unknown to the model, or its shape or its kind of numbers does not fit.
    """
    targets = model.state_dict()
    found: set[str] = set()
    for part in parts:
        headers = {name: stored for name, stored in part.headers().items() if not split_lora(name)}
        unexpected = [name for name in headers if name not in targets]
        if unexpected:
            raise CheckpointError(f"{part.files.source}: {listed(unexpected)} unknown to the model")
        for name, stored in headers.items():
            _check_tensor(name, stored, targets[name], part.files.source)
        found |= headers.keys()
    return sorted(targets.keys() - found)


def fill(
    model: GLaMM,
    parts: Sequence[Part],
    missing: Sequence[str],
    *,
    dtype: torch.dtype,
    progress: Progress = NO_PROGRESS,
) -> dict[str, Tensor]:
    """Give a model without weights its tensors, in place; the memory needed is that of the weights and one tensor.

    Args:
        model: Built by `build_without_weights`; the tensors fit, by `check_tensors`.
        parts: The files; where several have a tensor, the last one counts.
        missing: Names of tensors in `NEW_PARTS` that become random.
        dtype: Of all weights.
        progress: Advanced by the bytes that are read.

    Returns:
        The LoRA weights among the tensors, in their own type.
    """
    progress.begin(sum(stored.num_bytes for part in parts for stored in part.headers().values()))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    weights: dict[str, Tensor] = _random_tensors(model, missing, dtype)
    lora: dict[str, Tensor] = {}
    for part in parts:
        for name, tensor in part.tensors():
            if split_lora(name):
                lora[name] = tensor
            else:
                weights[name] = _converted(tensor, shapes[name], dtype)
            progress.advance(tensor.nbytes)
    model.load_state_dict(weights, assign=True)
    return lora


def _random_tensors(model: GLaMM, names: Sequence[str], dtype: torch.dtype) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for part, build in NEW_PARTS.items():
        if any(name.startswith(f"{part}.") for name in names):
            built = build(model.config).to(dtype).state_dict()
            weights |= {f"{part}.{name}": value for name, value in built.items()}
    return {name: weights[name] for name in names}


def _converted(tensor: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The tensor in the type of the model; a vocabulary is extended to the model's."""
    if not tensor.is_floating_point():
        return tensor
    if len(tensor.shape) == 0 or len(tensor) == shape[0]:
        return tensor.to(dtype)
    longer = tensor.new_empty(shape, dtype=dtype)
    longer[: len(tensor)] = tensor
    # embeddings of new tokens begin at the mean of the old ones
    longer[len(tensor) :] = tensor.mean(0, dtype=torch.float32)
    return longer


def _check_tensor(name: str, stored: StoredTensor, target: Tensor, source: Path) -> None:
    shape, expected = stored.shape, tuple(target.shape)
    is_shorter = name.endswith(_VOCABULARY) and len(shape) == 2 and shape[0] < expected[0]
    if shape != expected and not (is_shorter and shape[1:] == expected[1:]):
        raise CheckpointError(f"{source}: {name} has the shape {shape}, the model needs {expected}")
    if stored.dtype.is_floating_point != target.is_floating_point():
        raise CheckpointError(f"{source}: {name} is {stored.dtype}, the model needs {target.dtype}")


def listed(names: Sequence[str]) -> str:
    """The beginning of a message about some tensors."""
    more = len(names) - _MAX_NAMES_IN_MESSAGE
    shown = ", ".join(names[:_MAX_NAMES_IN_MESSAGE]) + (f" and {more} more" if more > 0 else "")
    return f"{len(names)} tensors ({shown}) are"
