"""The model against the release, case by case, and whether typical mistakes would be detected."""

import functools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from glamm.config.model import ModelConfig
from glamm.evaluation.conformance import ConformanceSet, build_model, read_set, run_case
from glamm.models.glamm import GLaMM
from tests.builders.models import GOLDENS

SETS = ("dev", "full336")
CASES = [
    (name, case) for name in SETS for case in read_set(GOLDENS / "conformance" / name).case_names
]


@functools.cache
def _opened(name: str) -> tuple[GLaMM, ConformanceSet]:
    conformance = read_set(GOLDENS / "conformance" / name)
    return build_model(conformance), conformance


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(
            name, case, id=f"{name}-{case}", marks=[pytest.mark.slow] if name == "full336" else []
        )
        for name, case in CASES
    ],
)
def test_model_matches_the_release(name: str, case: str) -> None:
    model, conformance = _opened(name)

    result = run_case(model, conformance, case)

    assert result.comparisons
    assert [comparison for comparison in result.comparisons if not comparison.is_ok] == []


def test_sets_have_every_kind_of_case() -> None:
    kinds = {case for _, case in CASES}

    assert kinds >= {
        "evaluate_eos",
        "evaluate_gcg",
        "evaluate_region",
        "infer_teacher_forced",
        "lora_training",
        "pixels",
        "train_caption",
        "train_gcg",
        "train_gcg_surplus_masks",
        "train_refseg",
        "train_region",
    }


def _changed(config: ModelConfig, section: str, **changes: object) -> ModelConfig:
    changed = getattr(config, section).model_copy(update=changes)
    return config.model_copy(update={section: changed})


def _without_exact_gelu(model: GLaMM) -> None:
    model.image_projector[1] = nn.GELU(approximate="tanh")


def _with_state_at_seg(model: GLaMM) -> None:
    original = model.run_language_model

    def shifted(prompt: object) -> torch.Tensor:
        return original(prompt).roll(-1, dims=1)  # type: ignore[arg-type]

    model.run_language_model = shifted  # type: ignore[method-assign]


def _with_swapped_coordinates(model: GLaMM) -> None:
    for conv in model.region_encoder.fusion.input_convs:
        with torch.no_grad():
            conv.weight[:, -2:] = conv.weight[:, -2:].flip(1)


CONFIG_MISTAKES: dict[str, tuple[str, Callable[[ModelConfig], ModelConfig]]] = {
    "last layer of the global encoder": (
        "train_gcg",
        lambda config: _changed(config, "global_encoder", select_layer=-1),
    ),
    "gelu in the global encoder": (
        "train_gcg",
        lambda config: _changed(config, "global_encoder", hidden_act="gelu"),
    ),
    "eps of the language model": (
        "train_gcg",
        lambda config: _changed(config, "language_model", rms_norm_eps=1e-3),
    ),
    "weight of the dice loss": (
        "train_gcg",
        lambda config: _changed(config, "losses", dice_weight=1.0),
    ),
    "base of the regions": (
        "train_region",
        lambda config: _changed(config, "compat", roi_base_size=64),
    ),
    "one sample a bin": (
        "train_region",
        lambda config: _changed(config, "region_encoder", sampling_ratio=1),
    ),
    "regions in bfloat16": (
        "train_region",
        lambda config: _changed(config, "compat", rounds_regions_to_bf16=True),
    ),
}


@pytest.mark.parametrize("mistake", CONFIG_MISTAKES)
def test_wrong_constant_is_detected(mistake: str) -> None:
    case, change = CONFIG_MISTAKES[mistake]
    model, conformance = _opened("dev")
    wrong = GLaMM.from_config(change(conformance.config)).eval()
    wrong.load_state_dict(model.state_dict())

    result = run_case(wrong, conformance, case)

    assert [comparison for comparison in result.comparisons if not comparison.is_ok]


@pytest.mark.parametrize(
    ("case", "break_model"),
    [
        ("train_gcg", _without_exact_gelu),
        ("train_gcg", _with_state_at_seg),
        ("train_region", _with_swapped_coordinates),
    ],
    ids=["tanh gelu", "state at the token", "y before x"],
)
def test_wrong_module_is_detected(case: str, break_model: Callable[[GLaMM], None]) -> None:
    _, conformance = _opened("dev")
    wrong = build_model(conformance)
    break_model(wrong)

    result = run_case(wrong, conformance, case)

    assert [comparison for comparison in result.comparisons if not comparison.is_ok]
