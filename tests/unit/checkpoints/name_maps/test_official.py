import functools
import json

import pytest
import torch

from glamm.checkpoints.name_maps.official import (
    from_official,
    into_official,
    is_derived,
    rope_theta_of,
    to_official,
    to_ours,
)
from glamm.config.language import RopeScalingConfig
from glamm.config.model import ModelConfig
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from tests.builders.models import CONFIG, GOLDENS, build_model

RELEASE_VOCABULARY = 32007


@functools.cache
def _release_keys() -> dict[str, list[int]]:
    parts = json.loads((GOLDENS / "conformance" / "keymap_full7b.json").read_text())
    return {name: shape for part in parts.values() for name, shape in part.items()}


@functools.cache
def _seven_b() -> GLaMM:
    with torch.device("meta"):
        return GLaMM.from_config(ModelConfig.seven_b(vocab_size=RELEASE_VOCABULARY))


def test_seven_b_has_exactly_the_tensors_of_the_release() -> None:
    theirs = {
        to_ours(name): shape for name, shape in _release_keys().items() if not is_derived(name)
    }

    ours = {name: list(value.shape) for name, value in _seven_b().state_dict().items()}

    assert ours == theirs


def test_translation_of_names_is_a_bijection() -> None:
    for name in _seven_b().state_dict():
        assert to_ours(to_official(name)) == name
    for name in _release_keys():
        if not is_derived(name):
            assert to_official(to_ours(name)) == name


def test_export_has_exactly_the_names_and_shapes_of_the_release() -> None:
    exported = into_official(_seven_b().state_dict(), _seven_b().config)

    assert {name: list(value.shape) for name, value in exported.items()} == _release_keys()


def test_import_is_inverse_of_export() -> None:
    weights = build_model().state_dict()

    returned = from_official(into_official(weights, CONFIG), CONFIG)

    assert returned.keys() == weights.keys()
    assert all(torch.equal(returned[name], weights[name]) for name in weights)


@pytest.mark.parametrize("translate", [to_ours, to_official], ids=["to ours", "to official"])
def test_unknown_name_is_refused(translate: object) -> None:
    with pytest.raises(CheckpointError, match=r"some\.weight is not a tensor of"):
        translate("some.weight")  # type: ignore[operator]


def stored_frequencies(base: float, width: int, dtype: torch.dtype) -> torch.Tensor:
    """As transformers 4.28 computes them, in float32, before they are saved in the type of the weights."""
    return (1.0 / (base ** (torch.arange(0, width, 2).float() / width))).to(dtype)


@pytest.mark.parametrize(
    "base", [10_000.0, 100_000.0, 500_000.0, 1_000_000.0, 8_000_000.0], ids=str
)
@pytest.mark.parametrize("width", [64, 128], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_rotary_base_follows_from_rounded_frequencies(
    base: float, width: int, dtype: torch.dtype
) -> None:
    assert rope_theta_of(stored_frequencies(base, width, dtype)) == base


def test_rotary_base_without_frequencies_is_that_of_llama() -> None:
    assert rope_theta_of(None) == 10_000.0


@pytest.mark.parametrize("factor", [0.5, 0.25], ids=str)
def test_scaled_frequencies_have_no_base(factor: float) -> None:
    with pytest.raises(CheckpointError, match="not powers of one base"):
        rope_theta_of(stored_frequencies(10_000.0, 128, torch.float16) * factor)


@pytest.mark.parametrize(
    ("weights", "frequencies"),
    [
        (torch.float16, torch.float16),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
    ],
    ids=["float16", "float32", "bfloat16"],
)
def test_exported_frequencies_are_exact_or_have_the_type_of_the_weights(
    weights: torch.dtype, frequencies: torch.dtype
) -> None:
    model = build_model().to(weights)

    exported = into_official(model.state_dict(), CONFIG)

    language = CONFIG.language_model
    width = language.hidden_size // language.num_heads
    name = f"model.layers.{language.num_layers - 1}.self_attn.rotary_emb.inv_freq"
    assert exported[name].dtype == frequencies
    assert torch.equal(exported[name], stored_frequencies(10_000.0, width, frequencies))


def test_exported_frequencies_are_scaled() -> None:
    """Each is divided by the factor, as transformers computes `linear` scaling."""
    scaling = RopeScalingConfig(type="linear", factor=4.0)
    language = CONFIG.language_model.model_copy(update={"rope_scaling": scaling})

    exported = into_official({}, CONFIG.model_copy(update={"language_model": language}))

    width = language.hidden_size // language.num_heads
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    assert torch.equal(exported[name], stored_frequencies(10_000.0, width, torch.float32) / 4)


def test_another_rotary_base_is_refused() -> None:
    other = CONFIG.language_model.model_copy(update={"rope_theta": 500_000.0})
    exported = into_official({}, CONFIG.model_copy(update={"language_model": other}))

    with pytest.raises(CheckpointError, match="does not match rope_theta 10000"):
        from_official(exported, CONFIG)
