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


def test_another_rotary_base_is_refused_and_can_be_computed() -> None:
    other = CONFIG.language_model.model_copy(update={"rope_theta": 500_000.0})
    exported = into_official({}, CONFIG.model_copy(update={"language_model": other}))

    assert rope_theta_of(exported, default=1.0) == 500_000.0
    with pytest.raises(CheckpointError, match="does not match rope_theta 10000"):
        from_official(exported, CONFIG)
