"""Keys of config.json in the release's layout and of CLIP, as people have them: used, or refused by name and value."""

import json

import pytest
import torch
from transformers import CLIPVisionModel

from glamm.checkpoints.load_foreign import load_sources
from glamm.checkpoints.sources import Sources
from glamm.checkpoints.write_release import write_release
from glamm.errors import CheckpointError
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import embedded_tokenizer
from tests.builders.checkpoints import official, write_folder, write_sam
from tests.builders.training import micro_config

LLAVA = {
    "freeze_mm_mlp_adapter": False,
    "image_aspect_ratio": "pad",
    "image_grid_pinpoints": None,
    "mm_projector_type": "mlp2x_gelu",
    "mm_resampler_type": None,
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_use_image_start_end": True,
    "mm_vision_select_feature": "patch",
    "pretrain_mm_mlp_adapter": None,
    "pretraining_tp": 1,
    "select_feature_type": "patch",
    "temperature": 0.9,
    "tokenizer_padding_side": "right",
    "tune_mm_mlp_adapter": False,
    "unfreeze_mm_vision_tower": False,
    "use_mm_proj": True,
    "vision_tower": "openai/clip-vit-large-patch14-336",
}
USED = {
    "all keys of LLaVA": (LLAVA, {}),
    "base of positions": ({"rope_theta": 5e5}, {"rope_theta": 5e5}),
    "activation": ({"hidden_act": "gelu"}, {"hidden_act": "gelu"}),
    "epsilon": ({"rms_norm_eps": 1e-3}, {"rms_norm_eps": 1e-3}),
    "factor of one": ({"residual_multiplier": 1.0}, {}),
}
REFUSED = {
    "feature": ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature 'cls_patch'"),
    "projector": ({"mm_projector_type": "linear"}, "mm_projector_type 'linear' is not supported .only"),
    "tiles": ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio 'anyres'"),
    "grid": ({"image_grid_pinpoints": [[336, 672]]}, r"image_grid_pinpoints \[\[336, 672\]\]"),
    "no regions": ({"with_region": False}, "with_region False"),
    "no start and end": ({"mm_use_im_start_end": False}, "mm_use_im_start_end False"),
    "patch tokens": ({"mm_use_im_patch_token": True}, "mm_use_im_patch_token True"),
    "several layers": ({"mm_vision_select_layer": [-2, -5]}, r"mm_vision_select_layer \[-2, -5\]"),
    "too deep": ({"mm_vision_select_layer": -20}, "4 levels 3 layers apart do not fit"),
    "channels": ({"out_dim": 99}, "out_dim 99 does not fit the weights, which have 32"),
    "levels": ({"num_level_reg_features": 3}, "num_level_reg_features 3 does not fit"),
    "family": ({"model_type": "llava_mistral"}, "model_type 'llava_mistral'"),
    "layers": ({"num_hidden_layers": 3}, "9 tensors .*layers.2.* are missing"),
    "fewer layers": ({"num_hidden_layers": 1}, "9 tensors .*layers.1.* unknown to the model"),
    "biases": ({"attention_bias": True}, "8 tensors .*bias.* are missing"),
    "heads": ({"num_key_value_heads": 1}, "k_proj.weight has the shape"),
    "multiplier": ({"attention_multiplier": 0.5}, "attention_multiplier 0.5"),
    "window": ({"sliding_window": 64}, "sliding_window 64"),
    "quantized": ({"quantization_config": {"load_in_4bit": True}}, "quantized weights"),
    "type of value": ({"rms_norm_eps": "1e-5"}, "rms_norm_eps.*expected float, got str"),
    "scaling": ({"rope_scaling": {"type": "ntk"}}, "rope_type 'ntk'"),
}  # fmt: skip
CONTRADICTIONS = {
    "base of positions": {"rope_theta": 5e5},
    "scaling": {"rope_scaling": {"type": "linear", "factor": 2.0}},
    "activation": {"hidden_act": "gelu"},
    "biases": {"attention_bias": True},
    "positions of transformers 5": {
        "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    },
}
CLIP_REFUSED = {
    "family": ({"model_type": "siglip2"}, "model_type siglip2 is not supported as global encoder"),
    "channels": ({"num_channels": 4}, "num_channels 4 is not supported"),
    "quantized": ({"quantization_config": {"bits": 8}}, "quantized weights are not supported"),
    "positions": ({"use_rope": True}, "use_rope True"),
    "activation": ({"hidden_act": "swoosh"}, "hidden_act 'swoosh'"),
    "size": ({"image_size": 64}, "position_embedding.weight has the shape"),
    "layers": ({"num_hidden_layers": 11}, "unknown to the model"),
}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release as others write it: its sizes can be inferred, and its CLIP lies beside it."""
    torch.manual_seed(1)
    config = micro_config()
    encoder = config.global_encoder.model_copy(update={"num_layers": 12, "select_layer": -2})
    region = config.region_encoder.model_copy(
        update={
            "width": 64,
            "num_groups": 64,
            "level_step": 3,
            "num_levels": 4,
            "sampling_ratio": 2,
        }
    )
    decoder = config.mask_decoder.model_copy(update={"num_heads": 8})
    config = config.model_copy(
        update={"global_encoder": encoder, "region_encoder": region, "mask_decoder": decoder}
    )
    folder = tmp_path_factory.mktemp("release")
    write_release(GLaMM.from_config(config), embedded_tokenizer(), folder)
    return folder


@pytest.fixture
def edited(release):
    """Changes config.json of the release or of CLIP for the time of a test."""
    files = [release / "config.json", release / "clip/config.json"]
    contents = [path.read_text() for path in files]

    def edit(changes, *, clip=False, keeps_ours=False):
        path = files[clip]
        values = json.loads(path.read_text()) | changes
        if not keeps_ours:
            values.pop("glamm_config", None)
        path.write_text(json.dumps(values))
        return Sources(release, clip=release / "clip")

    yield edit
    for path, content in zip(files, contents, strict=True):
        path.write_text(content)


@pytest.mark.parametrize(("changes", "expected"), USED.values(), ids=USED)
def test_key_of_the_release_is_used(edited, changes, expected):
    language = load_sources(edited(changes)).model.config.language_model
    assert {name: getattr(language, name) for name in expected} == expected


def test_unknown_key_is_named(edited):
    assert load_sources(edited({"my_key": 3, "other": None})).unused_keys == ("my_key 3",)


@pytest.mark.parametrize(("stated", "index"), [(11, 11), (-2, 11), (-3, 10)])
def test_layer_of_clip_is_counted_from_both_ends(edited, release, stated, index):
    model = load_sources(edited({"mm_vision_select_layer": stated})).model
    theirs = CLIPVisionModel.from_pretrained(release / "clip").eval()
    pixels = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    encoder = model.global_encoder

    with torch.no_grad():
        values = (pixels / 255 - encoder.pixel_mean) / encoder.pixel_std
        states = theirs(pixel_values=values, output_hidden_states=True).hidden_states
        assert torch.equal(model.encode_image(pixels).tokens, states[index][:, 1:])


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_key_of_the_release_is_refused(edited, changes, message):
    with pytest.raises(CheckpointError, match=message) as refusal:
        load_sources(edited(changes))
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("changes", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_keys_that_contradict_our_configuration_are_refused(edited, changes):
    (key,) = changes
    with pytest.raises(CheckpointError, match=f"{key} .* contradicts glamm_config"):
        load_sources(edited(changes, keeps_ours=True))


@pytest.mark.parametrize(("changes", "message"), CLIP_REFUSED.values(), ids=CLIP_REFUSED)
def test_key_of_clip_is_refused(edited, changes, message):
    edited({})
    with pytest.raises(CheckpointError, match=message):
        load_sources(edited(changes, clip=True))


def test_numbers_of_clip_are_used(edited):
    edited({})
    changes = {"hidden_act": "gelu", "layer_norm_eps": 1e-3, "attention_dropout": 0.1}
    encoder = load_sources(edited(changes, clip=True)).model.config.global_encoder
    assert (encoder.hidden_act, encoder.layer_norm_eps) == ("gelu", 1e-3)


def test_llava_is_the_beginning_of_a_glamm(model, clip, tmp_path):
    """A language model with its projector, as GLaMM's own training began."""
    kept = (
        "model.layers.",
        "model.embed_tokens.",
        "model.norm.",
        "lm_head.",
        "model.mm_projector.",
    )
    tensors = {name: value for name, value in official(model).items() if name.startswith(kept)}
    folder = write_folder(model, tmp_path / "llava", tensors=tensors, keeps_config=False)
    path = folder / "config.json"
    values = json.loads(path.read_text()) | {
        "model_type": "llava_llama",
        "mm_use_im_start_end": False,
    }
    path.write_text(json.dumps(values))
    sam = write_sam(model, tmp_path / "sam.pth")

    loaded = load_sources(Sources(folder, clip=clip, sam=sam), init_missing=True)

    weights, expected = loaded.model.state_dict(), model.state_dict()
    name = "image_projector.0.weight"
    assert torch.equal(weights[name], expected[name])
    random = {name.partition(".")[0] for name in loaded.initialized}
    assert random == {"region_encoder", "text_to_mask_projector"}
