"""Folders in the layout of the release."""

import json
from pathlib import Path

import torch
from transformers import SiglipConfig, SiglipModel

from glamm.checkpoints.name_maps.official import to_official
from glamm.checkpoints.write_release import release_config
from glamm.config.hf_names import VISION_NAMES, to_hugging_face
from glamm.config.model import GlobalEncoderConfig
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import embedded_tokenizer

TEXT_CONFIG = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 99,
}
"""The text encoder of a CLIP or SigLIP, in the terms of transformers; GLaMM does not use it."""


def write_folder(model, folder, *, tensors, keeps_config=True):
    """Write config.json, tokenizer and weights in the layout of the release."""
    folder.mkdir(parents=True, exist_ok=True)
    config = release_config(model.config, "float32")
    if not keeps_config:
        del config["glamm_config"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").write_bytes(embedded_tokenizer().model)
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder


def official(model, *, with_clip=False):
    """The weights of a model under the names of the release."""
    named = {to_official(name): value for name, value in model.state_dict().items()}
    return {name: value for name, value in named.items() if with_clip or "vision_tower" not in name}


def same(first: GLaMM, second: GLaMM) -> bool:
    """Whether two models have equal weights."""
    expected, weights = first.state_dict(), second.state_dict()
    return expected.keys() == weights.keys() and all(
        torch.equal(value, weights[name].to(value.dtype)) for name, value in expected.items()
    )


def write_sam(model: GLaMM, path: Path) -> Path:
    """Write the grounding parts of a model under the names of segment-anything."""
    sam = {
        name.replace("grounding_encoder.vit.", "image_encoder."): value
        for name, value in model.state_dict().items()
        if name.startswith(("grounding_encoder.vit.", "prompt_encoder.", "mask_decoder."))
    }
    torch.save(sam, path)
    return path


def write_siglip(encoder: GlobalEncoderConfig, folder: Path) -> Path:
    """Write a whole SigLIP with random weights, text encoder included."""
    vision = to_hugging_face(encoder, VISION_NAMES)
    config = SiglipConfig(vision_config=vision, text_config=TEXT_CONFIG)
    SiglipModel(config).save_pretrained(folder)
    return folder
