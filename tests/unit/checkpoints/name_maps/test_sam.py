"""SAM under the names of its publishers."""

import pytest
import torch
from safetensors.torch import load_file
from segment_anything import sam_model_registry
from transformers import SamConfig, SamModel, SamVisionConfig

from glamm.checkpoints.infer_config import infer_grounding_encoder
from glamm.checkpoints.name_maps.sam import sam_names
from glamm.errors import CheckpointError
from glamm.models.sam.grounding_encoder import GroundingEncoder


def translated(weights):
    to_ours = sam_names(weights)
    return {ours: value for name, value in weights.items() if (ours := to_ours(name))}


def test_names_of_transformers_are_those_of_segment_anything():
    with torch.device("meta"):
        theirs = SamModel(SamConfig()).state_dict()
        original = sam_model_registry["vit_b"]().state_dict()

    ours = {name: value.shape for name, value in translated(original).items()}

    assert {name: value.shape for name, value in translated(theirs).items()} == ours


def test_saved_folder_of_transformers_has_the_shared_embedding_once(tmp_path):
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 32}
    small = SamConfig(vision_config={**vision, "image_size": 64, "global_attn_indexes": [0]})
    SamModel(small).save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert not any(name.startswith("prompt_encoder.shared_embedding") for name in stored)

    names = translated(stored)

    assert "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix" in names
    assert names.keys() == translated(SamModel(small).state_dict()).keys()


def test_encoder_of_transformers_computes_the_same():
    torch.manual_seed(0)
    vision = SamVisionConfig(
        hidden_size=32,
        output_channels=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=128,
        patch_size=16,
        window_size=3,
        global_attn_indexes=[2],
        mlp_dim=128,
        num_pos_feats=16,
        initializer_range=0.1,
    )
    model = SamModel(SamConfig(vision_config=vision.to_dict())).eval()
    weights = translated(model.state_dict())
    weights = {name: value for name, value in weights.items() if name.startswith("grounding")}
    shapes = {name: tuple(value.shape) for name, value in weights.items()}

    ours = GroundingEncoder.from_config(infer_grounding_encoder(shapes)).eval()
    ours.load_state_dict({n.removeprefix("grounding_encoder."): v for n, v in weights.items()})

    pixels = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        expected = model.vision_encoder(pixels).last_hidden_state
        assert torch.allclose(ours.vit(pixels), expected, atol=1e-4)


@pytest.mark.parametrize("prefix", ["module.", "model.", "sam.", "module.sam_model."])
def test_wrapped_names_are_read(prefix):
    assert list(translated({f"{prefix}mask_decoder.iou_token.weight": 1})) == [
        "mask_decoder.iou_token.weight"
    ]


@pytest.mark.parametrize(
    ("name", "relative"),
    [
        ("mask_decoder.hf_token.weight", "SAM-HQ"),
        ("image_encoder.trunk.pos_embed", "SAM 2"),
        ("image_encoder.layers.1.blocks.0.attn.qkv.weight", "MobileSAM"),
        ("model.visual_model.mask_decoder.iou_token.weight", "LISA"),
        ("model.grounding_encoder.mask_decoder.iou_token.weight", "the official GLaMM release"),
        ("model.0.conv.weight", "FastSAM"),
    ],
    ids=["hq", "sam 2", "mobile", "lisa", "glamm", "fast"],
)
def test_relatives_are_refused_by_name(name, relative):
    names = ["image_encoder.pos_embed", "mask_decoder.iou_token.weight", name]
    with pytest.raises(
        CheckpointError, match=f"has the tensors of {relative}, not of SAM: name sam"
    ):
        sam_names(names)


def test_other_weights_are_refused():
    with pytest.raises(CheckpointError, match=r"has no tensors of SAM \(lm_head.weight"):
        sam_names(["lm_head.weight"])
