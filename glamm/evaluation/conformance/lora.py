"""A few training steps with adapters, as the release trains: same losses, same parameters in the end."""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from glamm.checkpoints import read_weights
from glamm.checkpoints.name_maps.official import to_official, to_ours
from glamm.errors import DataError
from glamm.evaluation.conformance.compare import (
    RELATIVE_FLOOR,
    Comparison,
    compare_numbers,
    compare_tensors,
)
from glamm.evaluation.conformance.inputs import build_batch
from glamm.evaluation.conformance.layout import ConformanceSet, read_json
from glamm.evaluation.conformance.training import Computed, weighted_losses
from glamm.models.glamm import GLaMM, GLaMMOutput
from glamm.models.language.lora import add_lora

LORA_TRAINING = "lora_training"
LORA_ALPHA = 16
BETAS = (0.9, 0.95)
MAX_GRADIENT_NORM = 1.0

_LOSS_PREFIX = "loss_with_lora."


class TrainingStep(BaseModel):
    """One optimiser step of the release.

    Args:
        case: Whose batch it took.
        lr: Learning rate.
        loss: Parts before the step.
        grad_norm_before_clip: Of all trainable parameters together.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    case: str
    lr: float
    loss: dict[str, float]
    grad_norm_before_clip: float


class TrainingDescription(BaseModel):
    """What lora_training.json says.

    Args:
        trajectory: The steps.
        trainable: Shapes of what was trained, by official name.
        final_checksums: Sum and norm of each of them after the last step.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    trajectory: tuple[TrainingStep, ...]
    trainable: dict[str, tuple[int, ...]]
    final_checksums: dict[str, tuple[float, float]]


def run_lora_training(
    model: GLaMM, conformance: ConformanceSet
) -> tuple[Computed, list[Comparison]]:
    """Train a copy of a model for the steps of a set, and compare.

    Raises:
        DataError: lora_training.json is missing or does not describe a training.
        CheckpointError: A file of weights is missing or damaged.
    """
    content = read_json(conformance.folder / f"{LORA_TRAINING}.json")
    description = _describe(content, conformance)
    reference = read_weights(conformance.folder / "lora_final_params.safetensors")
    adapters = read_weights(conformance.folder / "lora_weights.safetensors")
    trained = _adapted_copy(model, adapters, trainable=description.trainable)

    comparisons = _compare_untrained(trained, conformance, content)
    comparisons += _compare_steps(trained, conformance, description)
    final = {to_official(name): value.detach() for name, value in trained.named_parameters()}
    comparisons += compare_tensors(LORA_TRAINING, final, reference)
    comparisons += _compare_checksums(final, description.final_checksums)
    return Computed({name: final[name] for name in reference.keys() & final.keys()}), comparisons


def _describe(content: dict[str, Any], conformance: ConformanceSet) -> TrainingDescription:
    try:
        return TrainingDescription.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        raise DataError(
            fault["msg"],
            file=conformance.folder / f"{LORA_TRAINING}.json",
            field=".".join(str(part) for part in fault["loc"]),
        ) from error


def _adapted_copy(model: GLaMM, adapters: dict[str, Tensor], *, trainable: Iterable[str]) -> GLaMM:
    """Put the set's adapters into a copy and let only the named parameters be trained."""
    adapted = copy.deepcopy(model)
    rank = next(len(value) for name, value in adapters.items() if "lora_A" in name)
    add_lora(adapted.language_model, rank=rank, alpha=LORA_ALPHA, dropout=0.0)
    weights = {to_ours(name): value.float() for name, value in adapters.items()}
    adapted.load_state_dict(weights, strict=False)
    wanted = {to_ours(name) for name in trainable}
    for name, parameter in adapted.named_parameters():
        parameter.requires_grad_(name in wanted)
    return adapted


def _compare_untrained(
    model: GLaMM, conformance: ConformanceSet, content: dict[str, Any]
) -> list[Comparison]:
    """Losses with adapters, before any step."""
    comparisons = []
    for key, losses in content.items():
        if key.startswith(_LOSS_PREFIX):
            case = conformance.read_case(key.removeprefix(_LOSS_PREFIX))
            with torch.no_grad():
                output = model(build_batch(conformance, case))
            comparisons += compare_numbers(
                LORA_TRAINING, f"losses of {case.name}", _losses(output, model), losses
            )
    return comparisons


def _compare_steps(
    model: GLaMM, conformance: ConformanceSet, description: TrainingDescription
) -> list[Comparison]:
    """Train, and compare the losses and the norm of the gradients at every step."""
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameters, betas=BETAS, weight_decay=0.0)
    comparisons = []
    for number, step in enumerate(description.trajectory):
        output = model(build_batch(conformance, conformance.read_case(step.case)))
        optimizer.zero_grad()
        output.loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM).item()
        optimizer.param_groups[0]["lr"] = step.lr
        optimizer.step()
        kind = f"losses of step {number}"
        comparisons += compare_numbers(LORA_TRAINING, kind, _losses(output, model), step.loss)
        comparisons += compare_numbers(
            LORA_TRAINING,
            f"grad_norm of step {number}",
            {"all": norm},
            {"all": step.grad_norm_before_clip},
        )
    return comparisons


def _losses(output: GLaMMOutput, model: GLaMM) -> dict[str, float]:
    return {name: value.item() for name, value in weighted_losses(output, model).items()}


def _compare_checksums(
    parameters: Mapping[str, Tensor], reference: Mapping[str, tuple[float, float]]
) -> list[Comparison]:
    """Compare the sum and the norm of every trained parameter, in units of its norm.

    AdamW turns a gradient that is nothing but noise (a key's bias has none) into a step of full length, so single
    sums may differ by more than their own size; by Cauchy and Schwarz they may not by sqrt(n) times the norm.
    """
    ours, theirs = dict[str, float](), dict[str, float]()
    for name, (total, norm) in reference.items():
        scale = max(norm, RELATIVE_FLOOR)
        theirs[f"norm of {name}"] = norm / scale
        if name in parameters:
            value = parameters[name].double()
            root = math.sqrt(value.numel())
            theirs[f"sum of {name}"] = total / (root * scale)
            ours[f"sum of {name}"] = value.sum().item() / (root * scale)
            ours[f"norm of {name}"] = value.norm().item() / scale
    return compare_numbers(LORA_TRAINING, "checksums", ours, theirs)
