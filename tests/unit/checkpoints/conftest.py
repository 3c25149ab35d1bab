"""A model, and a folder of CLIP with the model's vision weights."""

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from glamm.config.hf_names import VISION_NAMES, to_hugging_face
from glamm.models.glamm import GLaMM
from tests.builders.checkpoints import TEXT_CONFIG
from tests.builders.training import micro_config


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return GLaMM.from_config(micro_config()).eval()


@pytest.fixture(scope="module")
def clip(model, tmp_path_factory):
    """A CLIP with its text encoder, as transformers writes it, with the model's vision weights."""
    folder = tmp_path_factory.mktemp("clip")
    vision = to_hugging_face(model.config.global_encoder, VISION_NAMES)
    whole = CLIPModel(CLIPConfig(vision_config=vision, text_config=TEXT_CONFIG))
    whole.vision_model.load_state_dict(model.global_encoder.clip.state_dict(), strict=False)
    whole.save_pretrained(folder)
    return folder
