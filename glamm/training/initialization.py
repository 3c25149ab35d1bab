"""What a run starts from: nothing, a model folder, or the small pretrained model that comes with the package."""

from dataclasses import dataclass
from pathlib import Path

from glamm.checkpoints.resize import resized
from glamm.checkpoints.store import load_model, load_weights, read_config
from glamm.config.model import ModelConfig
from glamm.config.training import TrainConfig
from glamm.errors import ConfigError
from glamm.models.glamm import GLaMM
from glamm.text.tokenizer import Tokenizer, embedded_tokenizer

GROUNDING_PARTS = ("grounding_encoder", "prompt_encoder", "mask_decoder")

EMBEDDED_START = Path(__file__).parent / "assets" / "tiny-start"


@dataclass(frozen=True, slots=True)
class Start:
    """A model before training.

    Args:
        model: With random or pretrained weights.
        tokenizer: The model's.
        origin: Its checksum, or "nothing".
    """

    model: GLaMM
    tokenizer: Tokenizer
    origin: str


def start_folder(config: TrainConfig) -> Path | None:
    """The model folder that a run starts from, or None."""
    if config.init_from is None:
        return None
    return EMBEDDED_START if config.init_from == "embedded" else Path(config.init_from)


def make_start(config: TrainConfig) -> Start:
    """Load or build; the random generator must have been seeded.

    Raises:
        ConfigError: A size without an embedded start is asked to start from it, or images of a size that has no
            whole number of patches.
        CheckpointError: A model folder is damaged, or its parts have other sizes.
    """
    start = _load_or_build(config)
    model = _resized(start.model, config)
    origin = start.origin
    if config.init_grounding_from:
        folder = Path(config.init_grounding_from)
        other = _resized(load_model(folder)[0].float(), config)
        for name in GROUNDING_PARTS:
            weights = other.get_submodule(name).state_dict()
            load_weights(model.get_submodule(name), weights, source=folder / name)
        origin += "+" + read_config(folder).weights_sha256
    losses = model.config.losses.model_copy(
        update={
            name: value
            for name, value in (
                ("bce_weight", config.bce_weight),
                ("dice_weight", config.dice_weight),
            )
            if value is not None
        }
    )
    model.config = model.config.model_copy(update={"losses": losses})
    return Start(model, start.tokenizer, origin)


def _resized(model: GLaMM, config: TrainConfig) -> GLaMM:
    try:
        return resized(
            model, global_size=config.global_image_size, grounding_size=config.grounding_image_size
        )
    except ValueError as error:
        raise ConfigError(
            f"train.global_image_size, train.grounding_image_size: {error}"
        ) from error


def _load_or_build(config: TrainConfig) -> Start:
    folder = start_folder(config)
    if folder is None:
        tokenizer = embedded_tokenizer()
        model = GLaMM.from_config(ModelConfig.of_size(config.size, vocab_size=len(tokenizer)))
        return Start(model, tokenizer, "nothing")
    if config.init_from == "embedded" and config.size != "tiny":
        raise ConfigError(
            f"train.init_from: there is an embedded start for size tiny only, not for {config.size}: "
            "name a model folder, or null to start from nothing"
        )
    model, _ = load_model(folder)
    tokenizer = Tokenizer.from_folder(folder)
    return Start(model.float().train(), tokenizer, read_config(folder).weights_sha256)
