"""Folders as the release writes them."""

import json

import torch

from glamm.checkpoints.name_maps.official import to_official
from glamm.checkpoints.write_release import release_config
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import embedded_tokenizer


def write_folder(model, folder, *, tensors, keeps_config=True):
    """config.json and tokenizer of the release, and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = release_config(model.config, "float32")
    if not keeps_config:
        del config["glamm_config"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").write_bytes(embedded_tokenizer().model)
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder


def official(model, *, with_clip=False):
    named = {to_official(name): value for name, value in model.state_dict().items()}
    return {name: value for name, value in named.items() if with_clip or "vision_tower" not in name}


def same(one: GLaMM, other: GLaMM) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        torch.equal(value, theirs[name].to(value.dtype)) for name, value in mine.items()
    )
