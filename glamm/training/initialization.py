"""The model that a run starts from: random weights, a model folder, or the small pretrained model of this package."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from glamm.checkpoints.resize import resized
from glamm.checkpoints.store import load_model, load_weights, read_config, stored_dtype
from glamm.config.model import ModelConfig
from glamm.config.training import TrainConfig
from glamm.errors import ConfigError
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import Tokenizer, embedded_tokenizer
from glamm.training.memory import check_memory
from glamm.training.precision import initial_dtype

GROUNDING_PARTS = ("grounding_encoder", "prompt_encoder", "mask_decoder")

EMBEDDED_FOLDER = Path(__file__).parent / "assets" / "tiny-start"

RANDOM = "nothing"
"""The checksum of random weights."""


@dataclass(frozen=True, slots=True)
class Initialization:
    """A model before training.

    Args:
        model: In training mode, its weights in the type of `initial_dtype`.
        tokenizer: Tokenizer of the model.
        checksum: SHA-256 of its weights in hexadecimal digits; two joined by "+" if two folders were combined;
            `RANDOM` for random weights.
        dtype: Type of the weights before training; the trained model is written in it.
    """

    model: GLaMM
    tokenizer: Tokenizer
    checksum: str
    dtype: torch.dtype


def initialize_model(config: TrainConfig) -> Initialization:
    """Load or build the model that a run starts from.

    Random weights are drawn from torch's global generator: seed it before.

    Raises:
        ConfigError: There is no embedded model of this size, or an image size is not a whole number of patches.
        CheckpointError: A model folder is damaged, or the two folders have other sizes.
    """
    initial = _load_or_build(config)
    model = _resize_images(initial.model, config)
    checksum = initial.checksum
    if config.init_grounding_from:
        folder = Path(config.init_grounding_from)
        other = _resize_images(_load(folder, config), config)
        for name in GROUNDING_PARTS:
            weights = other.get_submodule(name).state_dict()
            load_weights(model.get_submodule(name), weights, source=folder / name)
        checksum += "+" + read_config(folder).weights_sha256
    weights = {"bce_weight": config.bce_weight, "dice_weight": config.dice_weight}
    given = {name: weight for name, weight in weights.items() if weight is not None}
    losses = model.config.losses.model_copy(update=given)
    model.config = model.config.model_copy(update={"losses": losses})
    return replace(initial, model=model, checksum=checksum)


def _resize_images(model: GLaMM, config: TrainConfig) -> GLaMM:
    try:
        return resized(
            model, global_size=config.global_image_size, grounding_size=config.grounding_image_size
        )
    except ValueError as error:
        raise ConfigError(
            f"train.global_image_size, train.grounding_image_size: {error}"
        ) from error


def _load_or_build(config: TrainConfig) -> Initialization:
    if config.init_from is None:
        tokenizer = embedded_tokenizer()
        model = GLaMM.from_config(ModelConfig.of_size(config.size, vocab_size=len(tokenizer)))
        return Initialization(model, tokenizer, RANDOM, torch.float32)
    is_embedded = config.init_from == "embedded"
    if is_embedded and config.size != "tiny":
        raise ConfigError(
            f"train.init_from: there is an embedded model of size tiny only, not of {config.size}: "
            "name a model folder, or null for random weights"
        )
    folder = EMBEDDED_FOLDER if is_embedded else Path(config.init_from)
    if config.phase == "joint":
        check_memory(folder, config)
    model = _load(folder, config).train()
    tokenizer = Tokenizer.from_folder(folder)
    checksum = read_config(folder).weights_sha256
    return Initialization(model, tokenizer, checksum, next(model.parameters()).dtype)


def _load(folder: Path, config: TrainConfig) -> GLaMM:
    dtype = initial_dtype(stored_dtype(folder), config.precision)
    return load_model(folder, dtype=dtype)[0]
