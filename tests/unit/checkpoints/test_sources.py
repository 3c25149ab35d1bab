"""Which part of a model comes from which file."""

import pytest
import torch

from glamm.checkpoints.load_foreign import load_sources
from glamm.checkpoints.sources import Origin, Sources
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from tests.builders.checkpoints import official, same, write_folder, write_sam


def write_other_sam(model, path):
    """A SAM of the same sizes with other numbers: every tensor is zero."""
    other = GLaMM.from_config(model.config)
    other.load_state_dict({name: value * 0 for name, value in model.state_dict().items()})
    return write_sam(other, path)


def zeros(model, part):
    tensors = {n: v for n, v in model.state_dict().items() if n.startswith(f"{part}.")}
    return [name for name, value in tensors.items() if not value.any()]


def test_parts_of_the_checkpoint_are_kept_when_sam_is_named(model, clip, tmp_path):
    folder = write_folder(model, tmp_path / "release", tensors=official(model))
    sam = write_other_sam(model, tmp_path / "sam.pth")

    loaded = load_sources(Sources(folder, clip=clip, sam=sam))

    assert same(model, loaded.model)
    assert {origin.part: origin.source for origin in loaded.origins} == {
        "global_encoder": clip / "model.safetensors",
    } | dict.fromkeys(
        (
            "language_model",
            "image_projector",
            "region_encoder",
            "grounding_encoder",
            "prompt_encoder",
            "mask_decoder",
            "text_to_mask_projector",
        ),
        folder / "pytorch_model.bin",
    )


def test_clip_of_the_checkpoint_is_kept_when_another_is_named(model, clip, tmp_path):
    own = official(model, with_clip=True)
    key = "model.vision_tower.vision_tower.vision_model.pre_layrnorm.weight"
    own[key] = own[key] + 1
    folder = write_folder(model, tmp_path / "release", tensors=own)

    kept = load_sources(Sources(folder, clip=clip)).model
    replaced = load_sources(Sources(folder, clip=clip, replaced=("global_encoder",))).model

    assert torch.equal(kept.global_encoder.clip.pre_layrnorm.weight, own[key])
    assert same(model, replaced)


@pytest.mark.parametrize("part", ["grounding_encoder", "prompt_encoder", "mask_decoder"])
def test_part_that_the_checkpoint_lacks_comes_from_sam(model, clip, tmp_path, part):
    rest = {n: v for n, v in official(model).items() if f"{theirs(part)}." not in n}
    folder = write_folder(model, tmp_path / "release", tensors=rest)
    sam = write_other_sam(model, tmp_path / "sam.pth")

    loaded = load_sources(Sources(folder, clip=clip, sam=sam))

    names = [name for name in model.state_dict() if name.startswith(f"{part}.")]
    assert zeros(loaded.model, part) == names
    assert Origin(part, sam, len(names)) in loaded.origins
    for other in {"grounding_encoder", "prompt_encoder", "mask_decoder"} - {part}:
        assert zeros(loaded.model, other) == zeros(model, other)


def theirs(part):
    return "image_encoder" if part == "grounding_encoder" else part


@pytest.mark.parametrize("named", ["with SAM", "alone"])
def test_part_of_which_some_tensors_are_missing_is_refused(model, clip, tmp_path, named):
    tensors = official(model)
    gone = sorted(name for name in tensors if ".mask_decoder." in name)[:3]
    count = sum(".mask_decoder." in name for name in tensors)
    rest = {name: value for name, value in tensors.items() if name not in gone}
    folder = write_folder(model, tmp_path / "release", tensors=rest)
    sam = write_other_sam(model, tmp_path / "sam.pth") if named == "with SAM" else None

    message = (
        rf"{folder}: lacks 3 of the {count} tensors of its mask_decoder .*--replace mask_decoder"
    )
    with pytest.raises(CheckpointError, match=message):
        load_sources(Sources(folder, clip=clip, sam=sam))


def test_part_is_replaced_when_that_is_asked_for(model, clip, tmp_path):
    tensors = official(model)
    gone = sorted(name for name in tensors if ".mask_decoder." in name)[:3]
    rest = {name: value for name, value in tensors.items() if name not in gone}
    folder = write_folder(model, tmp_path / "release", tensors=rest)
    sam = write_other_sam(model, tmp_path / "sam.pth")

    loaded = load_sources(Sources(folder, clip=clip, sam=sam, replaced=("mask_decoder",)))

    decoder = [name for name in model.state_dict() if name.startswith("mask_decoder.")]
    assert zeros(loaded.model, "mask_decoder") == decoder
    assert zeros(loaded.model, "prompt_encoder") == zeros(model, "prompt_encoder")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("mask_decoder", "--replace mask_decoder: no file has this part: name one with --sam"),
        ("language_model", "--replace language_model: only global_encoder, grounding_encoder"),
    ],
    ids=["without its file", "another part"],
)
def test_part_that_cannot_be_replaced_is_refused(model, clip, tmp_path, part, message):
    folder = write_folder(model, tmp_path / "release", tensors=official(model))
    with pytest.raises(CheckpointError, match=message):
        load_sources(Sources(folder, clip=clip, replaced=(part,)))


def test_random_tensors_do_not_complete_a_trained_part(model, clip, tmp_path):
    tensors = official(model)
    gone = sorted(name for name in tensors if "region_encoder" in name)[:2]
    rest = {name: value for name, value in tensors.items() if name not in gone}
    folder = write_folder(model, tmp_path / "release", tensors=rest)
    with pytest.raises(CheckpointError, match=r"lacks 2 of the .* tensors of its region_encoder"):
        load_sources(Sources(folder, clip=clip), init_missing=True)
