import pytest
import torch
from transformers import SiglipVisionConfig, SiglipVisionModel

from glamm.config.model import GlobalEncoderConfig
from glamm.models.glamm import GLaMM
from tests.builders.models import BBOX, CONFIG, SEG, build_batch, build_model, random_images

SIGLIP = CONFIG.global_encoder.model_copy(
    update={
        "architecture": "siglip",
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "select_layer": -2,
    }
)
SIGLIP_CONFIG = CONFIG.model_copy(update={"global_encoder": SIGLIP})


def test_siglip_has_its_own_normalization_and_no_class_token() -> None:
    encoder = build_model(SIGLIP_CONFIG).global_encoder
    theirs = SiglipVisionModel(
        SiglipVisionConfig(
            image_size=128,
            patch_size=16,
            hidden_size=192,
            intermediate_size=384,
            num_hidden_layers=6,
            num_attention_heads=6,
            vision_use_head=False,
        )
    ).eval()
    theirs.load_state_dict(encoder.clip.state_dict())
    pixels = random_images(2)[0]

    with torch.no_grad():
        features = encoder(pixels)
        states = theirs(pixel_values=pixels / 127.5 - 1, output_hidden_states=True).hidden_states

    assert features.tokens.shape == (2, 64, 192)
    assert torch.allclose(features.tokens, states[-2], atol=1e-5)
    assert [level.shape for level in features.levels] == [(2, 192, 8, 8)] * 4
    for level, index in zip(features.levels, (2, 3, 4, 5), strict=True):
        assert torch.allclose(level.flatten(2).transpose(1, 2), states[index], atol=1e-5)


@pytest.mark.parametrize(
    "encoder",
    [
        SIGLIP,
        GlobalEncoderConfig(  # fewer, larger patches, like ViT-B/32
            image_size=128,
            patch_size=32,
            hidden_size=64,
            intermediate_size=128,
            num_layers=4,
            num_heads=4,
            select_layer=-1,
        ),
        GlobalEncoderConfig(  # pixels left over at the border, as in SigLIP: 384 / 14
            architecture="siglip",
            image_size=128,
            patch_size=14,
            hidden_size=48,
            intermediate_size=64,
            num_layers=4,
            num_heads=3,
            select_layer=-1,
        ),
    ],
    ids=["siglip", "clip of another size", "siglip with a remainder"],
)
def test_model_learns_regions_and_masks_with_other_encoders(encoder: GlobalEncoderConfig) -> None:
    model = build_model(CONFIG.model_copy(update={"global_encoder": encoder}))
    batch = build_batch(
        [[BBOX, 7, SEG, 2]], image_index=[0], num_masks=[1], boxes={0: [[0.1, 0.1, 0.9, 0.9]]}
    )

    model(batch).loss.backward()

    trained = {
        name.partition(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().sum() > 0
    }
    assert trained == {name for name, _ in model.named_children()}


def test_full_siglip_2_has_the_published_number_of_parameters() -> None:
    """SigLIP 2 So400m has 428 M parameters with its pooling head, 413 M without."""
    config = CONFIG.model_copy(
        update={
            "global_encoder": GlobalEncoderConfig(
                architecture="siglip",
                image_size=384,
                patch_size=14,
                hidden_size=1152,
                intermediate_size=4304,
                num_layers=27,
                num_heads=16,
                hidden_act="gelu_pytorch_tanh",
                layer_norm_eps=1e-6,
            )
        }
    )
    with torch.device("meta"):
        model = GLaMM.from_config(config)

    count = sum(parameter.numel() for parameter in model.global_encoder.parameters())

    assert count / 1e6 == pytest.approx(412.4, rel=0.01)
    assert config.global_encoder.num_tokens == 27 * 27
