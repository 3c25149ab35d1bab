"""A few training steps with LoRA adapters: losses, gradients and final parameters must equal the release's."""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from glamm.checkpoints import read_weights
from glamm.checkpoints.name_maps.official import to_official, to_ours
from glamm.evaluation.conformance.compare import (
    RELATIVE_FLOOR,
    Comparison,
    compare_numbers,
    compare_tensors,
)
from glamm.evaluation.conformance.inputs import build_batch
from glamm.evaluation.conformance.layout import ConformanceSet
from glamm.evaluation.conformance.training import ComputedCase, weighted_losses
from glamm.files import read_json_object
from glamm.models.glamm import GLaMM, GLaMMOutput
from glamm.models.language.lora import add_lora
from glamm.structures.versioned_file import violation

LORA_TRAINING = "lora_training"
LORA_ALPHA = 16
BETAS = (0.9, 0.95)
MAX_GRADIENT_NORM = 1.0

_LOSS_PREFIX = "loss_with_lora."


class TrainingStep(BaseModel):
    """One optimizer step of the release.

    Args:
        case: Name of the case with the batch.
        lr: Learning rate.
        loss: Weighted losses before the step.
        grad_norm_before_clip: Norm over all trainable parameters.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    case: str
    lr: float
    loss: dict[str, float]
    grad_norm_before_clip: float


class TrainingDescription(BaseModel):
    """The content of lora_training.json.

    Args:
        trajectory: The optimizer steps.
        trainable: Shapes of the trained parameters, by official name.
        final_checksums: Sum and norm of each trained parameter after the last step.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    trajectory: tuple[TrainingStep, ...]
    trainable: dict[str, tuple[int, ...]]
    final_checksums: dict[str, tuple[float, float]]


def run_lora_training(
    model: GLaMM, conformance: ConformanceSet
) -> tuple[ComputedCase, list[Comparison]]:
    """Train a copy of a model for the steps of a set, and compare it with the release.

    Raises:
        DataError: lora_training.json is missing or does not have the expected form.
        CheckpointError: A file of weights is missing or damaged.
    """
    content = read_json_object(conformance.folder / f"{LORA_TRAINING}.json")
    description = _describe(content, conformance)
    reference = read_weights(conformance.folder / "lora_final_params.safetensors")
    adapters = read_weights(conformance.folder / "lora_weights.safetensors")
    trained = _adapted_copy(model, adapters, trainable=description.trainable)

    comparisons = _compare_untrained(trained, conformance, content)
    comparisons += _compare_steps(trained, conformance, description)
    final = {to_official(name): value.detach() for name, value in trained.named_parameters()}
    comparisons += compare_tensors(LORA_TRAINING, final, reference)
    comparisons += _compare_checksums(final, description.final_checksums)
    return ComputedCase(
        {name: final[name] for name in reference.keys() & final.keys()}
    ), comparisons


def _describe(content: dict[str, Any], conformance: ConformanceSet) -> TrainingDescription:
    try:
        return TrainingDescription.model_validate(content)
    except ValidationError as error:
        raise violation(error, conformance.folder / f"{LORA_TRAINING}.json") from error


def _adapted_copy(model: GLaMM, adapters: dict[str, Tensor], *, trainable: Iterable[str]) -> GLaMM:
    """Copy the model, add the set's adapters, and freeze all but the named parameters."""
    adapted = copy.deepcopy(model)
    rank = next(len(value) for name, value in adapters.items() if "lora_A" in name)
    add_lora(adapted.language_model, rank=rank, alpha=LORA_ALPHA, dropout=0.0)
    weights = {to_ours(name): value.float() for name, value in adapters.items()}
    adapted.load_state_dict(weights, strict=False)
    trainable_names = {to_ours(name) for name in trainable}
    for name, parameter in adapted.named_parameters():
        parameter.requires_grad_(name in trainable_names)
    return adapted


def _compare_untrained(
    model: GLaMM, conformance: ConformanceSet, content: dict[str, Any]
) -> list[Comparison]:
    """Compare the losses with adapters before the first step."""
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
    """Train, and compare the losses and the gradient norm of every step."""
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
    """Compare the sum and the norm of every trained parameter, relative to its norm.

    The true gradient of a key's bias is 0; AdamW turns its rounding noise into steps of full length. So a sum may
    differ by more than its own value, but by Cauchy and Schwarz not by more than sqrt(n) times the norm.
    """
    computed, expected = dict[str, float](), dict[str, float]()
    for name, (total, norm) in reference.items():
        scale = max(norm, RELATIVE_FLOOR)
        expected[f"norm of {name}"] = norm / scale
        if name in parameters:
            value = parameters[name].double()
            root = math.sqrt(value.numel())
            expected[f"sum of {name}"] = total / (root * scale)
            computed[f"sum of {name}"] = value.sum().item() / (root * scale)
            computed[f"norm of {name}"] = value.norm().item() / scale
    return compare_numbers(LORA_TRAINING, "checksums", computed, expected)
