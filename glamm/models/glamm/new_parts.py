"""The parts that only a GLaMM has: CLIP, SAM and language models are published without them."""

from collections.abc import Callable, Mapping

from torch import nn

from glamm.config.model import ModelConfig
from glamm.models.clip.projector import ImageProjector
from glamm.models.region.encoder import RegionEncoder
from glamm.models.sam.projector import TextToMaskProjector


def build_image_projector(config: ModelConfig) -> ImageProjector:
    """Build with random weights, like the other functions here."""
    return ImageProjector(
        in_features=config.global_encoder.hidden_size,
        out_features=config.language_model.hidden_size,
    )


def build_region_encoder(config: ModelConfig) -> RegionEncoder:
    """Build a region encoder for the global encoder's images."""
    encoder = config.global_encoder
    return RegionEncoder(
        config.region_encoder,
        in_channels=encoder.hidden_size,
        out_features=config.language_model.hidden_size,
        image_size=encoder.grid_size * encoder.patch_size,
        roi_base_size=config.compat.roi_base_size or encoder.image_size,
        is_rounded_to_bf16=config.compat.rounds_regions_to_bf16,
    )


def build_text_to_mask_projector(config: ModelConfig) -> TextToMaskProjector:
    """Build a projector from the language model's width to the mask decoder's."""
    return TextToMaskProjector(
        in_features=config.language_model.hidden_size,
        out_features=config.grounding_encoder.out_channels,
    )


NEW_PARTS: Mapping[str, Callable[[ModelConfig], nn.Module]] = {
    "image_projector": build_image_projector,
    "region_encoder": build_region_encoder,
    "text_to_mask_projector": build_text_to_mask_projector,
}
"""How each is built, by its name in the whole model."""
