"""Run the cases of a set and compare them with the release."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from glamm.checkpoints import load_weights, write_weights
from glamm.checkpoints.name_maps.official import from_official
from glamm.errors import DataError, HostError
from glamm.evaluation.conformance.compare import (
    Comparison,
    compare_numbers,
    compare_tensors,
)
from glamm.evaluation.conformance.generation import compute_generation
from glamm.evaluation.conformance.layout import ConformanceSet, read_set
from glamm.evaluation.conformance.lora import LORA_TRAINING, run_lora_training
from glamm.evaluation.conformance.pixels import compute_pixels
from glamm.evaluation.conformance.training import ComputedCase, compute_training
from glamm.files import write_text
from glamm.models.glamm import GLaMM

PIXELS = "pixels"
_NOT_COMPUTED = ("in.offset", "in.masks", "in.bboxes", "out.logits_sample_index")
"""Inputs that cannot be computed from the texts of a case; they are not compared."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of one case.

    Args:
        name: Base name of its files.
        computed: What this installation computed.
        comparisons: One for each tensor and each kind of numbers; empty for an unknown case, which does not run.
    """

    name: str
    computed: ComputedCase
    comparisons: tuple[Comparison, ...]


def run_conformance(folder: Path, *, dump: Path | None = None) -> Iterator[CaseResult]:
    """Run the cases of a folder one by one.

    Args:
        folder: Holds config.json, weights.safetensors, pixels.safetensors and the files of the cases.
        dump: Folder for the computed values: `<case>.safetensors` with the tensor names of the reference, and
            `<case>.json` with the numbers. None writes nothing.

    Yields:
        The result of each case when it has run.

    Raises:
        DataError: A file is missing or does not have the expected form, or the folder has no case.
        CheckpointError: A safetensors file is missing or damaged, or the weights do not fit config.json.
        HostError: `dump` cannot be written.
    """
    conformance = read_set(folder)
    if not conformance.case_names:
        raise DataError("holds no case: no <case>.json with <case>.safetensors", file=folder)
    model = build_model(conformance)
    for name in conformance.case_names:
        result = run_case(model, conformance, name)
        if dump is not None and result.comparisons:
            _dump(result, dump)
        yield result


def build_model(conformance: ConformanceSet) -> GLaMM:
    """Build the model of a set and load its weights.

    Raises:
        CheckpointError: The weights do not fit config.json.
    """
    model = GLaMM.from_config(conformance.config).eval()
    weights = from_official(conformance.weights, conformance.config)
    load_weights(model, weights, source=conformance.folder / "weights.safetensors")
    return model


def run_case(model: GLaMM, conformance: ConformanceSet, name: str) -> CaseResult:
    """Run one case and compare it with the release; an unknown case has no comparisons."""
    if name == PIXELS:
        computed = ComputedCase(compute_pixels(conformance))
        return CaseResult(
            name, computed, tuple(compare_tensors(name, computed.tensors, conformance.pixels))
        )
    if name == LORA_TRAINING:
        computed, comparisons = run_lora_training(model, conformance)
        return CaseResult(name, computed, tuple(comparisons))
    if name.startswith(("train_", "infer_teacher_forced")):
        compute = compute_training
    elif name.startswith("evaluate_"):
        compute = compute_generation
    else:
        return CaseResult(name, ComputedCase({}), ())
    case = conformance.read_case(name)
    computed = compute(model, conformance, case)
    compared = {
        tensor: value
        for tensor, value in case.reference.items()
        if not tensor.startswith(_NOT_COMPUTED)
        and not (tensor.startswith("in.") and conformance.tokenizer is None)
    }
    comparisons = compare_tensors(name, computed.tensors, compared)
    for kind, expected in (
        ("losses", case.description.losses),
        ("grad_norms", case.description.grad_norms),
    ):
        comparisons += compare_numbers(name, kind, computed.numbers.get(kind, {}), expected)
    return CaseResult(name, computed, tuple(comparisons))


def _dump(result: CaseResult, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = json.dumps(result.computed.numbers, indent=1, sort_keys=True)
        write_text(folder / f"{result.name}.json", numbers)
    except OSError as error:
        raise HostError(
            f"{folder}: cannot be written ({error.strerror}). Name another folder with --dump."
        ) from error
    write_weights(result.computed.tensors, folder / f"{result.name}.safetensors")
