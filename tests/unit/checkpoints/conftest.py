"""A model, and a CLIP with its vision weights."""

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from glamm.models.glamm import GLaMM
from tests.builders.training import micro_config


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GLaMM.from_config(micro_config()).eval()


@pytest.fixture(scope="module")
def clip(model, tmp_path_factory):
    """A whole CLIP, text side and all, as transformers writes it, with the model's own vision weights."""
    folder = tmp_path_factory.mktemp("clip")
    encoder = model.config.global_encoder
    vision = {
        "image_size": encoder.image_size,
        "patch_size": encoder.patch_size,
        "hidden_size": encoder.hidden_size,
        "intermediate_size": encoder.intermediate_size,
        "num_hidden_layers": encoder.num_layers,
        "num_attention_heads": encoder.num_heads,
    }
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 99,
    }
    whole = CLIPModel(CLIPConfig(vision_config=vision, text_config=text))
    whole.vision_model.load_state_dict(model.global_encoder.clip.state_dict(), strict=False)
    whole.save_pretrained(folder)
    return folder
